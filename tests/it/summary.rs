//! The checks of a summary, one flaw at a time, and on references that must pass.

use std::path::Path;

use wenzhai::record::Record;
use wenzhai::summary::{Field, Flaw, FlawKind, Severity, Source, Summary, check};
use wenzhai::text::cut_at_sentence;

const TITLE: &str = "Counting Sheep at Night";
const ABSTRACT: &str = "We count sheep at night with 12 cameras on 3 farms. A network of 2 million \
    weights finds 97.5% of all sheep and mistakes none for a goat, which no earlier work could do. \
    We hope that this brings sleep to farmers and to readers alike, and release code and data.";

fn good() -> Summary {
    Summary {
        zh_title: "夜间数羊".into(),
        zh_tldr: "本文用摄像头在夜间数羊，找到了几乎所有的羊。".into(),
        zh_abstract: "我们用12个摄像头在3个农场夜间数羊。一个200万参数的网络找到了97.5%的羊，\
            并且没有把山羊误认为绵羊。我们希望农民能睡个好觉，并公开代码和数据。"
            .into(),
    }
}

fn flaws(summary: &Summary, bounded: &[Field]) -> Vec<Flaw> {
    check(&Source { title: TITLE, abstract_text: ABSTRACT, ..Source::default() }, summary, bounded)
}

#[test]
fn finds_each_flaw_and_only_it() {
    let check = |change: &dyn Fn(&mut Summary), expected: Flaw| {
        let mut summary = good();
        change(&mut summary);
        assert_eq!(flaws(&summary, &[]), [expected], "{summary:?}");
    };
    assert_eq!(flaws(&good(), &Field::ALL[1..]), []);
    check(&|s| s.zh_title.clear(), Flaw::plain(FlawKind::Missing, Field::Title));
    check(&|s| s.zh_tldr = " \n".into(), Flaw::plain(FlawKind::Missing, Field::Tldr));
    check(&|s| s.zh_abstract.clear(), Flaw::plain(FlawKind::Missing, Field::Paragraph));
    check(
        &|s| s.zh_title = "Counting Sheep".into(),
        Flaw::plain(FlawKind::NotChinese, Field::Title),
    );
    check(
        &|s| s.zh_tldr = "We count 羊 at night".into(),
        Flaw::plain(FlawKind::NotChinese, Field::Tldr),
    );
    check(
        &|s| s.zh_abstract = ABSTRACT[..100].into(),
        Flaw::plain(FlawKind::NotChinese, Field::Paragraph),
    );
    check(
        &|s| s.zh_tldr.push_str("\n此外还有山羊。"),
        Flaw::plain(FlawKind::LineBreak, Field::Tldr),
    );
    check(&|s| s.zh_tldr = "数羊。".into(), Flaw::new(FlawKind::Length, Field::Tldr, ["3"]));
    check(
        &|s| s.zh_abstract = "我们用12个摄像头和200万个参数数出3个农场的羊。".into(),
        Flaw::new(FlawKind::Length, Field::Paragraph, ["10"]),
    );
    check(
        &|s| s.zh_tldr = "本文数羊数羊数羊数羊数羊数羊。".into(),
        Flaw::new(FlawKind::Loop, Field::Tldr, ["数羊"]),
    );
    check(
        &|s| s.zh_title = "标题：夜间数羊".into(),
        Flaw::new(FlawKind::Boilerplate, Field::Title, ["标题"]),
    );
    check(
        &|s| s.zh_abstract = s.zh_abstract.replace("97.5", "99"),
        Flaw::new(FlawKind::InventedNumbers, Field::Paragraph, ["99"]),
    );
    check(
        &|s| s.zh_abstract = s.zh_abstract.replace("摄像头", "cameras"),
        Flaw::new(FlawKind::English, Field::Paragraph, ["cameras"]),
    );
    check(
        &|s| s.zh_abstract.push_str("其余数十亿只留待以后。"),
        Flaw::new(FlawKind::InventedNumbers, Field::Paragraph, ["数十亿"]),
    );
    check(
        &|s| s.zh_tldr = "本文首次用马尔可夫链在夜间数羊。".into(),
        Flaw::new(FlawKind::Unsourced, Field::Tldr, ["首次", "马尔可夫链"]),
    );
    let without_numbers = "我们用许多摄像头在几个农场夜间数羊，用神经网络找到了几乎所有的羊。";
    let lost = Flaw::new(FlawKind::LostNumbers, Field::Paragraph, ["12", "3", "2", "97.5"]);
    check(&|s| s.zh_abstract = without_numbers.into(), lost);
}

#[test]
fn an_answer_that_is_the_prompts_example_is_a_flaw_unless_the_paper_says_it() {
    let example = "一句话：提出一种仅用单个麦克风估计鸟群规模的方法。";
    let source = Source {
        title: TITLE,
        abstract_text: ABSTRACT,
        prompt: example,
        translations: "single microphone\t单个麦克风",
        ..Source::default()
    };
    let tldr = |text: &str| Summary { zh_tldr: text.into(), ..good() };
    assert_eq!(check(&source, &good(), &[]), []);
    assert_eq!(check(&source, &tldr("本文用单个麦克风在夜间估计羊群规模。"), &[]), []);
    let copied = tldr("本文提出一种仅用单个麦克风估计羊群规模的方法。");
    let text = "提出一种仅用单个麦克风估计";
    assert_eq!(check(&source, &copied, &[]), [Flaw::new(FlawKind::Copied, Field::Tldr, [text])]);
    let known = Source { abstract_text: &format!("{ABSTRACT}{example}"), ..source };
    assert_eq!(check(&known, &copied, &[]), []);
}

#[test]
fn what_the_paper_says_itself_is_neither_boilerplate_nor_a_loop() {
    let paragraph = "本文接续arXiv:2699.00050，证明arXiv:2699.00050的界对所有图成立，并给出\
        arXiv:2699.00050中猜想的反例。";
    let summary = Summary { zh_abstract: paragraph.into(), ..good() };
    let abstract_text = "This continues arXiv:2699.00050. We show that its bound holds.";
    let source = Source { title: TITLE, abstract_text, ..Source::default() };
    let kinds = |source: &Source| -> Vec<FlawKind> {
        let flaws = check(source, &summary, &[]);
        let form = [FlawKind::Boilerplate, FlawKind::Loop];
        flaws.into_iter().map(|flaw| flaw.kind).filter(|kind| form.contains(kind)).collect()
    };
    assert_eq!(kinds(&source), []);
    let silent = Source { abstract_text: "This continues earlier work.", ..source };
    assert_eq!(kinds(&silent), [FlawKind::Loop, FlawKind::Boilerplate]);
}

/// The numbers of a paragraph that are not in its source.
fn invented(source: &Source<'_>, text: &str) -> Vec<String> {
    let summary = Summary { zh_abstract: text.into(), ..good() };
    let flaws = check(source, &summary, &[]);
    let of_numbers = flaws.into_iter().filter(|flaw| flaw.kind == FlawKind::InventedNumbers);
    of_numbers.flat_map(|flaw| flaw.detail).collect()
}

/// Units of magnitude follow a verb as well as a noun, and a decimal fraction is no number of things.
#[test]
fn magnitudes_are_those_of_the_source() {
    let source = Source {
        abstract_text: "We sell tens of billions of items in thousands of shops to 94.2% of users.",
        ..Source::default()
    };
    let invented = |text: &str| invented(&source, text);
    assert_eq!(invented("我们在数千家商店销售数百亿件商品。"), [""; 0]);
    assert_eq!(invented("我们拥有数十亿件商品，每日处理数十个亿次点击。"), ["数十亿", "数十个亿"]);
    assert_eq!(invented("我们在数十家商店销售商品。"), ["数十"]);
}

/// What the prompt tells of a number is its Chinese with the unit, and not the digits alone.
#[test]
fn numbers_without_their_unit_are_invented() {
    let abstract_text = "We have 2 million users.";
    let source = Source { abstract_text, translations: "200万", ..Source::default() };
    assert_eq!(invented(&source, "我们有200万用户。"), [""; 0]);
    assert_eq!(invented(&source, "我们有200个用户。"), ["200"]);
}

#[test]
fn decades_and_multiples_are_those_of_the_source() {
    let abstract_text = "In the 1980s and 1990s a sixfold gain took two and a half years, up to its \
        sixtieth month, Sept. 2003, with dodecagonal tiles.";
    let source = Source { abstract_text, ..Source::default() };
    let text = "20世纪80和90年代，6倍的增益用了2.5年，直至第60个月，即2003年9月，用十二边形；也在80、90年代。";
    assert_eq!(invented(&source, text), [""; 0]);
    assert_eq!(
        invented(&source, "20世纪70和90年代，80和90个，7倍，3.5年。"),
        ["70", "80", "90", "7", "3.5"]
    );
    let lost = |paragraph: &str| {
        let summary = Summary { zh_abstract: paragraph.into(), ..good() };
        let abstract_text = "From the 1980s and 1990s on, in 2008-09.";
        let flaws =
            check(&Source { title: TITLE, abstract_text, ..Source::default() }, &summary, &[]);
        flaws.into_iter().find(|flaw| flaw.kind == FlawKind::LostNumbers).map(|flaw| flaw.detail)
    };
    assert_eq!(lost("自20世纪80年代和90年代起，在2008至2009年，我们对数羊做了研究。"), None);
    assert_eq!(lost("自那时起，我们对数羊做了研究。").map(|lost| lost.len()), Some(4));
}

/// A number in characters that has digits and units can be nothing else.
#[test]
fn numbers_in_characters_are_those_of_the_source() {
    let source = Source {
        abstract_text: "Since the 1990s thirty annotators read 35,000 pages in the 21st century, \
            one hundred and fifty of them twice; 95% agree and 12 do not.",
        ..Source::default()
    };
    let invented = |text: &str| invented(&source, text);
    let true_ones = "自九十年代起，三十名标注者在二十一世纪阅读了三万五千页，其中一百五十页读了两遍，\
        百分之九十五一致，十二人不同，几十人第十三次统一十分相似的一百多页。";
    assert_eq!(invented(true_ones), [""; 0]);
    let false_ones = "二十名标注者阅读了三千五百页，百分之三十五一致。";
    assert_eq!(invented(false_ones), ["二十", "三千五百", "三十五"]);
}

#[test]
fn a_bound_must_not_cut_a_sentence() {
    let mut summary = good();
    summary.zh_abstract.truncate(summary.zh_abstract.len() - "数据。".len());
    assert_eq!(flaws(&summary, &[]), []);
    assert_eq!(
        flaws(&summary, &[Field::Paragraph]),
        [Flaw::plain(FlawKind::Unfinished, Field::Paragraph)]
    );
    assert_eq!(flaws(&good(), &[Field::Title]), [Flaw::plain(FlawKind::Unfinished, Field::Title)]);
}

#[test]
fn a_text_must_not_stop_in_a_number() {
    let mut summary = good();
    summary.zh_abstract.push_str("在几何3.");
    assert_eq!(flaws(&summary, &[]), [Flaw::plain(FlawKind::Unfinished, Field::Paragraph)]);
    let mut summary = good();
    summary.zh_tldr.push_str("优于Sheep-3.");
    assert!(flaws(&summary, &[]).iter().all(|flaw| flaw.kind != FlawKind::Unfinished));
}

#[test]
fn lost_numbers_are_a_flaw_from_two_and_a_quarter_on() {
    let mut summary = good();
    summary.zh_abstract = summary.zh_abstract.replace("97.5%", "几乎所有");
    assert_eq!(flaws(&summary, &[]), []);
    let lost_of_nine = |paragraph: &str| {
        let source = Source {
            title: TITLE,
            abstract_text: "11 12 13 14 15 16 17 18 19",
            ..Source::default()
        };
        let summary = Summary { zh_abstract: paragraph.into(), ..good() };
        let flaws = check(&source, &summary, &[]);
        flaws.iter().any(|flaw| flaw.kind == FlawKind::LostNumbers)
    };
    assert!(!lost_of_nine("我们数了11、12、13、14、15、16和17只羊。"));
    assert!(lost_of_nine("我们数了11、12、13、14、15和16只羊。"));
}

#[test]
fn lost_numbers_are_not_as_bad_as_what_is_wrong() {
    assert_eq!(
        Flaw::new(FlawKind::LostNumbers, Field::Paragraph, ["3"]).severity(),
        Severity::Lean
    );
    assert_eq!(Flaw::plain(FlawKind::Missing, Field::Title).severity(), Severity::Wrong);
    assert!(Severity::Lean < Severity::Wrong);
}

#[test]
fn checks_pass_the_references() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/dev.jsonl"));
    let Ok(file) = std::fs::File::open(path) else {
        crate::support::skipped(format_args!("no {}", path.display()));
        return;
    };
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    let mut papers = 0;
    for line in std::io::BufRead::lines(std::io::BufReader::new(file)) {
        let mut reference: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        reference["link"] = "".into();
        let Record { title, abstract_text, zh_title, zh_tldr, zh_abstract, .. } =
            serde_json::from_value(reference).unwrap();
        papers += 1;
        let summary = Summary { zh_title, zh_tldr, zh_abstract };
        let source = Source { title: &title, abstract_text: &abstract_text, ..Source::default() };
        for flaw in check(&source, &summary, &[]) {
            let kind = format!("{:?} of {:?}", flaw.kind, flaw.field);
            *counts.entry(kind).or_default() += 1;
        }
    }
    eprintln!("{papers} references: {counts:?}");
    assert!(papers >= 100);
    for (kind, count) in &counts {
        // Abstracts here are cut, and references call themselves the first where they are not.
        let one_in = if kind.starts_with("Unsourced") { 25 } else { 50 };
        assert!(count * one_in < papers, "{kind}: {count} of {papers}");
    }
}

proptest::proptest! {
    #[test]
    fn a_cut_text_fits_and_begins_the_whole(text in "([a-zA-Z.,;()]{1,6}[ .]){0,12}", max in 0usize..60) {
        let (kept, cut) = cut_at_sentence(&text, |text| text.len() <= max);
        proptest::prop_assert!(kept.len() <= max && text.starts_with(&kept));
        proptest::prop_assert_eq!(cut, text.len() > max);
    }

    #[test]
    fn checks_survive_any_text(title: String, paragraph: String, source: String) {
        let summary =
            Summary { zh_title: title, zh_tldr: String::new(), zh_abstract: paragraph }.tidied();
        let flaws = check(&Source { title: "", abstract_text: &source, ..Source::default() }, &summary, &Field::ALL);
        proptest::prop_assert!(flaws.contains(&Flaw::plain(FlawKind::Missing, Field::Tldr)));
        let break_found = flaws.iter().any(|flaw| flaw.kind == FlawKind::LineBreak);
        proptest::prop_assert!(!break_found);
    }
}
