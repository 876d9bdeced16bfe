//! Guards: what is written under them, whatever the logits; and what references would have lost.

mod numbers;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use wenzhai::generate::{MAX_ASKED, Sampling, TokenFilter, TokenId, TokenSet, next_token};
use wenzhai::guard::{FieldGuard, PaperGuard, Pieces, Rules};
use wenzhai::record::Record;
use wenzhai::summary::{Field, FlawKind, Source, Summary, check};

const TITLE: &str = "RuleMaze: LLMs and DeepSeek-V3.1 in 3D mazes";
const ABSTRACT: &str = "We train Qwen2.5-VL on 2 million mazes (1,024 of them in $3$D) and find \
    that it solves 63.4% of them, 4.1 points more than LLMs, with 70B weights and twenty-five \
    steps at a rate of 0.05. In March 2026 as in the 1980s the transformer won.";

/// Pieces of more than one letter: what a rule refuses can come in the middle of a token.
const PIECES: [&str; 49] = [
    "\n", "", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", ".", ",", "%", "，", "。", "、",
    "（", "）", ")", " ", "-", "万", "亿", "月", "个", "的", "迷宫", "第", "提升", "模型", "LL",
    "LLM", " LLM", "Deep", "Seek", "wen", "3.", "63", "0个", "million", "б", "の", "100", "百",
    "千", "年", "代",
];

/// The pieces, and every letter, so that whatever was begun can be finished.
fn pieces() -> Vec<String> {
    let letters = ('a'..='z').chain('A'..='Z').map(String::from);
    PIECES.iter().map(|piece| (*piece).to_owned()).chain(letters).collect()
}

fn source() -> Source<'static> {
    Source { title: TITLE, abstract_text: ABSTRACT, ..Source::default() }
}

fn guard(source: &Source<'_>, rules: Rules, pieces: &[String]) -> FieldGuard {
    let pieces: Pieces = pieces.iter().collect();
    let ends: TokenSet = [0].into_iter().collect();
    FieldGuard::new(Arc::new(PaperGuard::new(source, rules)), Arc::new(pieces), Arc::new(ends))
}

/// Whether `text` may be written, character by character, as a whole field.
fn accepts(source: &Source<'_>, rules: Rules, text: &str) -> bool {
    refused(source, rules, text).is_none()
}

/// Whether `text` may be written of a paper with that abstract, of which `translations` were told.
fn accepts_of(rules: Rules, abstract_text: &str, translations: &str, text: &str) -> bool {
    let source = Source { title: "Sheep", abstract_text, translations, ..Source::default() };
    accepts(&source, rules, text)
}

/// The beginning of `text` that is refused.
fn refused(source: &Source<'_>, rules: Rules, text: &str) -> Option<String> {
    let chars: Vec<String> = text.chars().map(String::from).collect();
    let pieces: Vec<String> = std::iter::once("\n".into()).chain(chars.iter().cloned()).collect();
    let guard = guard(source, rules, &pieces);
    let written: Vec<TokenId> = (1..=chars.len() as TokenId).collect();
    (0..=chars.len())
        .find(|&at| !guard.after(&written[..at])(if at < chars.len() { written[at] } else { 0 }))
        .map(|at| chars[..chars.len().min(at + 1)].concat())
}

fn of_numbers() -> Rules {
    "numbers".parse().unwrap()
}

fn names() -> Rules {
    "names".parse().unwrap()
}

#[track_caller]
fn check_text(rules: Rules, text: &str, expected: bool) {
    assert_eq!(accepts(&source(), rules, text), expected, "{text}");
}

#[test]
fn names_stand_as_in_the_source() {
    for text in [
        "LLMs的",
        "DeepSeek-V3.1在",
        "DeepSeek",
        "Qwen2.5-VL，",
        "Qwen2.5",
        "规则Maze",
        "Transformer",
        "transformer",
        "3D迷宫",
        "70B",
        "LLMs优于LLM。",
        "α与±",
        "2 million",
    ] {
        check_text(names(), text, true);
    }
    for text in [
        "LLM的",
        "LLm",
        "Deepseek",
        "DeepSeek-3.1",
        "Qwen2.5VL",
        "Qwen",
        "maz。",
        "GPT",
        "TransFormer",
        "рус",
        "の",
        "한",
        "80B",
    ] {
        check_text(names(), text, false);
    }
    let source = Source {
        title: "CO$_2$ and the $F_1$ of $x^2$",
        abstract_text: "PM$_{2.5}$ in A_b.",
        ..Source::default()
    };
    for text in ["CO2排放", "F1分数", "$F_1$", "x2", "PM2.5浓度", "A_b"] {
        assert!(accepts(&source, names(), text), "{text}");
    }
    for text in ["CO3", "F2", "Ab"] {
        assert!(!accepts(&source, names(), text), "{text}");
    }
    check_text(of_numbers(), "GPT", true);
    check_text(Rules::NONE, "GPT-5", true);
}

#[test]
fn english_that_chinese_has_words_for_is_not_begun() {
    let source = Source {
        title: "On regret bounds, with bandits",
        abstract_text: "The regret of agents in latent-space search is bounded; we use statgram, \
            pass@1 and `find`. Transformers regress.",
        translations: "智能体\nagents",
        ..Source::default()
    };
    let english: Rules = "english".parse().unwrap();
    for text in [
        "遗憾界",
        "statgram的",
        "agents的",
        "pass@1",
        "find命令",
        "Transformers",
        "T",
        "s",
        "v-space",
    ] {
        assert!(accepts(&source, english, text), "{text}");
    }
    for (text, at) in [
        ("regret的", "reg"),
        ("其Regret", "其Reg"),
        ("用 bandits", "用 b"),
        ("latent-space的", "l"),
        ("（search）", "（sea"),
        ("(search)", "(sea"),
        ("潜在-space的", "潜在-sp"),
    ] {
        let found = refused(&source, english, text);
        assert!(
            found
                .as_ref()
                .is_some_and(|found| at.starts_with(found.as_str()) || found.starts_with(at)),
            "{text}: {found:?}"
        );
    }
    assert!(accepts(&source, "numbers,names,loops".parse().unwrap(), "regret的"));
    // Formulas and commands are copied as they stand.
    let source = Source {
        title: "On $n \\text{ without } 3$",
        abstract_text: "We activate() agents, 1 (mod 4), with regret.",
        ..Source::default()
    };
    for text in ["当$n \\text{ without } 3$时", "调用activate()", "1 (mod 4)"] {
        assert!(accepts(&source, english, text), "{text}");
    }
    assert!(!accepts(&source, english, "与regret") && !accepts(&source, english, "agents"));
}

#[test]
fn nothing_is_emphasised_that_the_source_does_not_emphasise() {
    let emphasis: Rules = "emphasis".parse().unwrap();
    let accepts = |of: &str, told: &str, text: &str| accepts_of(emphasis, of, told, text);
    let plain = "We count sheep with 5% fewer errors. The market is insignificant.";
    assert!(accepts(plain, "", "错误减少5%，效果明显，幅度大，显示著者"));
    assert!(!accepts(plain, "", "错误显著减少"));
    assert!(!accepts(plain, "", "大幅减少错误"));
    assert!(accepts(plain, "", "最大幅值与放大幅度"));
    assert!(accepts("They win by a large margin.", "", "大幅优于"));
    assert!(accepts(plain, "显著性图", "显著性图"), "a term that was told");
    for word in ["Significantly", "substantial", "saliency", "orders of magnitude", "Markedly"] {
        assert!(accepts(&format!("{plain} {word} so."), "", "显著减少"), "{word}");
    }
}

#[test]
fn words_that_always_have_their_english_in_the_source_have_it() {
    let unsourced: Rules = "unsourced".parse().unwrap();
    let accepts = |of: &str, told: &str, text: &str| accepts_of(unsourced, of, told, text);
    let plain = "We count sheep by a prior. Low-frequency waves are not heard.";
    assert!(accepts(plain, "", "我们数羊，随后验证了结论"));
    assert!(accepts("A spatial hypergraph.", "", "超时空图") && !accepts(plain, "", "超时"));
    for text in ["本文首次数羊", "高频波", "马尔可夫链", "给出后验", "后验。"]
    {
        assert!(!accepts(plain, "", text), "{text}");
    }
    for text in
        ["完全局部", "在线性映射下", "可持续学习", "半参数高效", "二阶矩阵", "加速度场", "长期权衡"]
    {
        assert!(accepts(plain, "", text), "{text}");
    }
    for text in ["视频里", "在线学习", "速度场", "持续学习"] {
        assert!(!accepts(plain, "", text), "{text}");
    }
    assert!(accepts("The first to count sheep.", "", "本文首次数羊"));
    assert!(accepts(plain, "high pitch\t高频", "高频波"), "it was told");
    // What may become a longer word with a source is not refused before it has become another.
    let refused = |text: &str| {
        let source = Source { abstract_text: "The norm of an RKHS.", ..Source::default() };
        refused(&source, unsourced, text)
    };
    assert_eq!(refused("在再生核希尔伯特空间中").as_deref(), None);
    assert_eq!(refused("用再生核方法").as_deref(), Some("用再生核方"));
    assert_eq!(refused("用希尔伯特空间").as_deref(), Some("用希尔伯特空间"));
    // One that was written all the same, as where nothing else was left, does not refuse what follows.
    let pieces = ["\n", "首", "次", "数"].map(str::to_owned);
    let guard = guard(&Source { abstract_text: plain, ..Source::default() }, unsourced, &pieces);
    assert!(!guard.after(&[1])(2) && guard.after(&[1, 2])(3) && guard.after(&[1, 2])(0));
}

#[test]
fn a_loop_is_not_completed() {
    let loops: Rules = "loops".parse().unwrap();
    check_text(loops, "对抗对抗学习，10 01 10 01，0.0000", true);
    check_text(loops, "精度精度精度", false);
    check_text(loops, "错误性错误性", false);
    check_text(loops, "最先进的最先进方法", false);
    check_text(loops, "可扩展、可扩展", false);
    check_text(loops, "速度、速度变化，算子的算子，可扩展和可扩展", true);
    check_text(loops, "0.0.0.0.0.0.", false);
    let sentence = "实验表明该方法优于所有基线";
    check_text(loops, &format!("{sentence}，甲。{sentence}，乙。"), true);
    check_text(loops, &format!("{sentence}，甲。{sentence}，乙。{sentence}"), false);
}

#[test]
fn bytes_are_judged_when_their_character_is_whole() {
    // の is three bytes, 中 is three others.
    let pieces: [&[u8]; 6] = [b"\n", b"\xe3", b"\x81\xae", b"\xe4", b"\xb8", b"\xad"];
    let pieces: Pieces = pieces.iter().collect();
    let paper = Arc::new(PaperGuard::new(&source(), Rules::ALL));
    let guard = FieldGuard::new(paper, Arc::new(pieces), Arc::default());
    assert!(guard.after(&[])(1), "nothing is known of it yet");
    assert!(!guard.after(&[1])(2), "it has become a の");
    assert!(guard.after(&[3])(4) && guard.after(&[3, 4])(5), "中");
}

/// A vocabulary in which little begins alike, and what one step takes that asks about all of it,
/// behind seven letters of a word that the source spells with two hundred; nothing may follow.
fn dead_end(other_words: usize) -> Duration {
    let others = (0..other_words).map(|n| format!("{}x{n}", ["be", "ce", "de", "fe"][n % 4]));
    let abstract_text = format!("{} {}", "a".repeat(200), others.collect::<Vec<_>>().join(" "));
    let source = Source { title: "T", abstract_text: &abstract_text, ..Source::default() };
    let han = (0..4_000).map(|n| char::from_u32(0x4e00 + n).map(|c| format!("{c}的")).unwrap());
    let latin = ["aa", "a的", "b", "be", " ", "1", "-", "，", "。"].map(str::to_owned);
    let pieces: Vec<String> =
        ["\n", "aaaaaaa"].map(str::to_owned).into_iter().chain(latin).chain(han).collect();
    let guard = guard(&source, Rules::ALL, &pieces);
    let times = (0..3).map(|_| {
        let started = Instant::now();
        let allows = guard.after(&[1]);
        let allowed = (0..pieces.len() as TokenId).filter(|token| allows(*token)).count();
        assert_eq!(allowed, 0, "a word of 200 letters goes on, and seven in a row are enough");
        started.elapsed()
    });
    times.min().unwrap()
}

#[test]
fn a_step_takes_no_longer_for_a_longer_source() {
    let (short, long) = (dead_end(40), dead_end(40 * 64));
    // Sixty-four times as much text; with a search through it for each token, forty times as long.
    assert!(long < 8 * short, "{short:?}, then {long:?}");
}

/// Refuses everything, and counts.
#[derive(Debug, Default)]
struct Refusal(AtomicUsize);

impl TokenFilter for Refusal {
    fn after<'a>(&'a self, _: &[TokenId]) -> Box<dyn Fn(TokenId) -> bool + 'a> {
        Box::new(|_| {
            self.0.fetch_add(1, Ordering::Relaxed);
            false
        })
    }
}

#[test]
fn a_filter_that_refuses_everything_is_asked_a_bounded_number_of_times() {
    let logits = logits(1, &[], 8 * MAX_ASKED);
    let highest = (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b]).then(b.cmp(a)));
    let refusal = Refusal::default();
    let picked = next_token(&logits, Sampling::Greedy, &[], Some(&refusal));
    assert_eq!(picked.map(|token| token as usize), highest, "the pick is the one without a filter");
    let asked = refusal.0.load(Ordering::Relaxed);
    assert!((MAX_ASKED..=MAX_ASKED + 1).contains(&asked), "{asked}");
}

#[test]
fn of_words_without_end_the_beginning_counts() {
    let long = "a1".repeat(100);
    let source = Source { title: &long, abstract_text: "A b.", ..Source::default() };
    assert!(accepts(&source, names(), &long));
    assert!(accepts(&source, names(), &format!("{}的", &long[..120])));
    assert!(!accepts(&source, names(), &format!("{}的", &long[..40])));
    assert!(!accepts(&source, names(), &format!("{}b", &long[..40])));
}

#[test]
fn rules_have_names() {
    assert_eq!(Rules::ALL.to_string(), "numbers,names,english,unsourced,emphasis,loops");
    assert_eq!(Rules::NONE.to_string(), "none");
    for text in ["none", "numbers", "names,loops"] {
        assert_eq!(text.parse::<Rules>().unwrap().to_string(), text);
    }
    assert_eq!("all".parse::<Rules>().unwrap(), Rules::ALL);
    let error = "numbers,verbs".parse::<Rules>().unwrap_err();
    assert_eq!(error.to_string(), "unknown guard \"verbs\"");
}

/// Pseudo-random logits for the place behind `written`.
fn logits(seed: u64, written: &[TokenId], count: usize) -> Vec<f32> {
    let mut state = written
        .iter()
        .fold(seed, |s, t| (s ^ u64::from(*t)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23));
    let mut next = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 40) as f32 / (1u64 << 20) as f32
    };
    (0..count).map(|_| next()).collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty())
}

proptest! {
    #[test]
    fn nothing_is_invented_whatever_the_logits(seed: u64, rung in 0..3) {
        let rule = match rung {
            0 => Sampling::Greedy,
            1 => Sampling::Penalised { penalty: 1.3, window: 16 },
            _ => Sampling::Sampled { temperature: 2.0, top_k: 30, seed },
        };
        let pieces = pieces();
        let guard = guard(&source(), Rules::ALL, &pieces);
        let mut written = Vec::new();
        while written.len() < 120 && written.last() != Some(&0) {
            let logits = logits(seed, &written, pieces.len());
            written.extend(next_token(&logits, rule, &written, Some(&guard)));
        }
        let complete = written.last() == Some(&0);
        let text: String = written.iter().map(|token| &pieces[*token as usize][..]).collect();
        // A text that was cut off may have been in the middle of a word or number.
        let whole = match complete {
            true => text.trim_end(),
            false => text.trim_end_matches(|c: char| !"的迷宫提升模型".contains(c)),
        };
        let summary = Summary { zh_abstract: whole.to_owned(), ..Summary::default() };
        for flaw in check(&source(), &summary, &[]) {
            prop_assert!(flaw.kind != FlawKind::InventedNumbers, "{flaw:?} in {text}");
        }
        // Longer noise turns in circles of another kind, which no one token completes; so does noise of
        // a few characters, of which 24 are named.
        let begin = whole.chars().take(99).collect();
        let begin = Summary { zh_abstract: begin, ..Summary::default() };
        for flaw in check(&source(), &begin, &[]) {
            let is_closed = flaw.kind == FlawKind::Loop && flaw.detail[0].chars().count() <= 12;
            prop_assert!(!is_closed, "{flaw:?} in {text}");
        }
        let sources: Vec<String> = words(TITLE).chain(words(ABSTRACT)).map(str::to_owned).collect();
        for word in words(whole) {
            let known = sources.iter().any(|source| {
                source.ends_with(word) || source.eq_ignore_ascii_case(word)
                    || *source == format!("{word}s")
            });
            prop_assert!(known, "{word} in {text}");
        }
    }
}

#[test]
fn guards_pass_the_references() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/dev.jsonl"));
    let Ok(file) = std::fs::File::open(path) else {
        crate::support::skipped(format_args!("no {}", path.display()));
        return;
    };
    let english: Rules = "english".parse().unwrap();
    let mut lost = [0usize; 3];
    let mut fields = 0;
    for line in std::io::BufRead::lines(std::io::BufReader::new(file)) {
        let mut reference: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        reference["link"] = "".into();
        let Record { title, abstract_text, zh_title, zh_tldr, zh_abstract, .. } =
            serde_json::from_value(reference).unwrap();
        let summary = Summary { zh_title, zh_tldr, zh_abstract };
        let source = Source { title: &title, abstract_text: &abstract_text, ..Source::default() };
        for field in Field::ALL {
            fields += 1;
            for (lost, rules) in lost.iter_mut().zip([of_numbers(), names(), english]) {
                let refused = refused(&source, rules, summary.field(field));
                if let Some(text) = refused {
                    *lost += 1;
                    eprintln!(
                        "{rules}: {}",
                        text.chars()
                            .rev()
                            .take(24)
                            .collect::<Vec<_>>()
                            .into_iter()
                            .rev()
                            .collect::<String>()
                    );
                }
            }
        }
    }
    eprintln!("of {fields} fields, {lost:?} would have been written otherwise");
    assert!(fields >= 300);
    assert!(lost[0] * 50 < fields && lost[1] * 20 < fields, "{lost:?} of {fields}");
    assert!(lost[2] * 50 < fields, "{lost:?} of {fields}");
}

/// Letters behind one with an accent go on with its word, whatever English begins with them.
#[test]
fn names_with_accents_are_not_taken_for_english() {
    let of = "We extend a theorem of Révész and Lovász to Schrödinger data and values of sets, as Erdős.";
    let english = "english".parse().unwrap();
    for text in ["Révész的定理", "Lovász", "Schrödinger方程", "Erdős"] {
        assert!(accepts_of(english, of, "", text), "{text}");
    }
    assert!(!accepts_of(english, of, "", "的 data 与"));
}
