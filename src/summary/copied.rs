//! Text of the prompt that came back as the answer: a small model may summarise the worked example
//! that it was shown instead of the paper.

/// Length of a run that no summary shares with a prompt by chance: of 28,000 published ones none
/// shares ten Chinese characters with the built-in prompts.
const RUN_CHARS: usize = 10;

/// The first run of `text` that stands in `own`, the prompt's own text, and not in what is told of
/// the paper (`sources`).
pub(super) fn find_copied(text: &str, own: &str, sources: &[&str]) -> Option<String> {
    let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let is_copied = |run: &str| own.contains(run) && !sources.iter().any(|s| s.contains(run));
    let at = (RUN_CHARS..starts.len())
        .map(|end| end - RUN_CHARS)
        .find(|&at| is_copied(&text[starts[at]..starts[at + RUN_CHARS]]))?;
    let more = (at + RUN_CHARS..starts.len())
        .take_while(|&end| is_copied(&text[starts[at]..starts[end]]))
        .last()?;
    Some(text[starts[at]..starts[more]].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_the_example_is_found_whole_unless_the_paper_has_it() {
        let own = "例子：黄昏时清点鸟类费时且依赖光线。\nCounting birds by ear at dusk.";
        let check = |text: &str, source: &str, expected: Option<&str>| {
            assert_eq!(find_copied(text, own, &[source]).as_deref(), expected, "{text}");
        };
        check("本文指出黄昏时清点鸟类费时且依赖光照。", "", Some("黄昏时清点鸟类费时且依赖光"));
        check("黄昏时清点鸟类费时", "", None);
        check("方法：Counting birds by ear", "Counting birds by ear", None);
        check("方法：Counting birds by ear", "Birds", Some("Counting birds by ear"));
        check("", "", None);
    }
}
