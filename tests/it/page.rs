//! The page and the index: their bytes always, and in a real browser where `WENZHAI_TEST_CHROMIUM`
//! names one.

use std::path::PathBuf;

use proptest::prelude::*;
use wenzhai::digest::{Group, InOrder, Order, Page, Records, html};
use wenzhai::record::{Record, read_jsonl};
use wenzhai::summary::{Field, Flaw, FlawKind};

use crate::support::chromium::{self, Chromium};
use crate::support::place::Place;

const FIXTURE: &str = include_str!("../fixtures/digest/2026-11-25.jsonl");
const DAY_BEFORE: &str = include_str!("../fixtures/digest/2026-11-24.jsonl");

fn fixture() -> Vec<Record> {
    read_jsonl(FIXTURE.as_bytes(), "fixture").map(Result::unwrap).collect()
}

fn page(records: Vec<Record>) -> String {
    let mut out = Vec::new();
    html(&InOrder::new(records), &Page::default(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The names of all tags and their attributes, in order; what stands in style and script is left out.
fn tags(page: &str) -> Vec<String> {
    let tag = regex::Regex::new(r#"<(/?[a-zA-Z!][^\s>"]*)((?:[^">]|"[^"]*")*)>"#).unwrap();
    let value = regex::Regex::new(r#""[^"]*""#).unwrap();
    let raw = regex::Regex::new(r"(?s)<(style|script)>.*?</(style|script)>").unwrap();
    let markup = raw.replace_all(page, "");
    let name =
        |found: regex::Captures| format!("{}{}", &found[1], value.replace_all(&found[2], ""));
    tag.captures_iter(&markup).map(name).collect()
}

/// A record all of whose texts are `text`.
fn all(text: &str) -> Record {
    let mark = Flaw::new(FlawKind::InventedNumbers, Field::Paragraph, [text]);
    Record {
        link: format!("https://example.org/{text}"),
        title: format!("t {text}"),
        abstract_text: format!("a {text}"),
        authors: vec![format!("n {text}"); 9],
        // A blank would end a category.
        categories: vec![format!("c{text}")],
        zh_title: format!("题 {text}"),
        zh_tldr: format!("句 {text}"),
        zh_abstract: format!("段 {text}"),
        marks: vec![mark],
        ..Record::default()
    }
}

#[test]
fn a_page_asks_for_nothing_and_says_so() {
    let page = page(fixture());
    let policy = page.split("Content-Security-Policy\" content=\"").nth(1).unwrap();
    assert!(policy.starts_with("default-src &#39;none&#39;; style-src &#39;sha256-"), "{policy}");
    let markup: String = tags(&page).join("\n");
    for outside in ["src=", "<img", "<iframe", "<link", " on", "style="] {
        assert!(!markup.contains(outside), "{outside}");
    }
    for of_style in ["@import", "url("] {
        assert!(!page.contains(of_style), "{of_style}");
    }
    let other = regex::Regex::new(r#"href="([^"]*)""#).unwrap();
    for link in other.captures_iter(&page) {
        assert!(link[1].starts_with("https://arxiv.org/abs/2699."), "{}", &link[1]);
    }
}

#[test]
fn everything_of_a_paper_is_there() {
    let page = page(fixture());
    for text in [
        "从不遗忘空格的分词器：面向 84 种文字的可逆子词</a>",
        "A Tokenizer That Never Forgets a Blank",
        "等 10 人</summary>",
        "Jun Nakata",
        "value=\"cs.CL\">cs.CL</button>",
        "<option value=\"cs.CL\">cs.CL（2）</option>",
        "未通过检查：段落有原文没有的数字：1,200；段落遗漏了原文的数字：4, 900",
        "只读到其中一句为止",
        "<p class=\"failed\">未能生成摘要：the paper does not fit",
        "本文已被撤回。",
        "Subword tokenizers fold blanks",
        "<code>O(\\log n)</code>",
        "at a cost of $5 a day.",
        "交叉列表",
        "<p class=\"why\">入选原因：符合“cs.DS”、“flock”；与文献库的相近程度排第 1，与之最相近的一篇是《Counting Goats》</p>",
        ">arXiv:2699.01102</a>",
        "8 篇，<span class=\"marked\">⚠ 2 篇有标记</span>，<span class=\"failed\">2 篇无摘要</span>",
    ] {
        assert!(page.contains(text), "{text}");
    }
    assert!(!page.contains("Announce Type"));
    // The page's own day is not told again with each paper.
    assert_eq!(page.matches("<time ").count(), 1);
}

#[test]
fn groups_have_headings_and_are_sorted() {
    let page_of = |group| {
        let records = InOrder::arranged(fixture(), Some(Order::Link), Some(group));
        let mut out = Vec::new();
        html(&records, &Page { group: Some(group), ..Page::default() }, &mut out).unwrap();
        let page = String::from_utf8(out).unwrap();
        let heading = regex::Regex::new("<h2 class=\"section\">([^<]*)</h2>").unwrap();
        heading.captures_iter(&page).map(|found| found[1].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(page_of(Group::Announce), ["新论文", "交叉列表", "新版本"]);
    let categories = page_of(Group::Category);
    assert_eq!(&categories[..3], ["cs.CL", "cs.DL", "cs.DS"]);
    assert!(categories.is_sorted() && categories.len() == 7, "{categories:?}");
}

#[test]
fn records_are_read_twice_and_never_held() {
    struct Counted(std::cell::Cell<u32>);
    impl Records for Counted {
        fn for_each_record(
            &self,
            visit: &mut dyn FnMut(&Record) -> wenzhai::Result<()>,
        ) -> wenzhai::Result<()> {
            self.0.set(self.0.get() + 1);
            (0..3).try_for_each(|number| visit(&all(&number.to_string())))
        }
    }
    let records = Counted(0.into());
    let mut out = Vec::new();
    html(&records, &Page::default(), &mut out).unwrap();
    assert_eq!(records.0.get(), 2);
    assert_eq!(String::from_utf8(out).unwrap().matches("<article ").count(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a paper says, the page has the tags that it would have had without it.
    #[test]
    fn no_text_becomes_markup(text in "[a-z<>\"'&/=;!-]{0,6}(<script>|</script>|<!--|-->|\"|'|&lt;|</article>|&#60;|<b onclick=x>)[a-z<>\"'&/=;!-]{0,8}") {
        let hostile = page(vec![all(&text)]);
        let harmless = page(vec![all("x")]);
        prop_assert_eq!(tags(&hostile), tags(&harmless), "{}", hostile);
    }
}

/// What the tests in a browser open.
fn hostile() -> Record {
    let text = "<script>document.title='owned'</script><style>body{display:none}</style>\
                <img src=x onerror=\"document.title='owned'\"><a href='javascript:alert(1)'>x</a>";
    Record { link: "javascript:document.title='owned'".into(), ..all(text) }
}

fn opened(browser: &mut Chromium, name: &str, content: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let file: PathBuf = folder.path().join(name);
    std::fs::write(&file, content).unwrap();
    browser.open(&file);
    folder
}

const SHOWN: &str = "[...document.querySelectorAll('article')].filter((a) => a.offsetHeight > 0).map((a) => a.id).join(' ')";

#[test]
fn a_browser_searches_filters_and_folds() {
    let Some(program) = chromium::named() else { return };
    let mut browser = Chromium::start(&program);
    for (width, height, is_phone) in [(1280, 900, false), (360, 740, true)] {
        browser.resize(width, height, is_phone);
        let _folder = opened(&mut browser, "page.html", &page(fixture()));
        let shown = |browser: &mut Chromium| browser.evaluate(SHOWN).as_str().unwrap().to_owned();
        let found = "document.getElementById('found').value";
        assert_eq!(shown(&mut browser).split(' ').count(), 8);
        assert_eq!(browser.evaluate(found), "8 / 8 篇");
        // Titles, authors, and abstracts that are folded; words in any order.
        for (query, expected) in [
            ("蛋糕", "2699.01108"),
            ("NAKATA", "2699.01102"),
            ("sheep shepherd", "2699.01101"),
            ("1.9 blank", "2699.01102"),
            ("蛋糕 sheep", ""),
            // What the page says around papers is nothing that they say.
            ("英文摘要", ""),
            ("展开", ""),
        ] {
            browser.choose("query", query);
            assert_eq!(shown(&mut browser), expected, "{query}");
        }
        assert_eq!(browser.evaluate("document.getElementById('nothing').offsetHeight > 0"), true);
        browser.choose("query", "");
        browser.choose("category", "cs.LG");
        assert_eq!(shown(&mut browser), "2699.01107 2699.01102");
        browser.choose("state", "marked");
        assert_eq!(shown(&mut browser), "2699.01107");
        browser.choose("category", "");
        assert_eq!(shown(&mut browser), "2699.01107 2699.01103");
        browser.choose("state", "without");
        assert_eq!(shown(&mut browser), "2699.01106 2699.01105");
        assert_eq!(browser.evaluate(found), "2 / 8 篇");
        browser.choose("state", "");
        browser.evaluate("document.querySelector('button.category[value=\"quant-ph\"]').click()");
        assert_eq!(shown(&mut browser), "2699.01104");
        browser.evaluate("document.querySelector('button.category[value=\"quant-ph\"]').click()");
        // The abstract opens.
        let height = "document.querySelector('article').offsetHeight";
        let folded = browser.evaluate(height).as_i64().unwrap();
        browser.evaluate("document.querySelector('article .abstract summary').click()");
        assert!(browser.evaluate(height).as_i64().unwrap() > folded + 20);
        // Nothing is wider than the screen.
        let wide = "document.documentElement.scrollWidth";
        assert_eq!(browser.evaluate(wide), width);
        let brief = "document.getElementById('brief').click(),
            document.querySelector('.paragraph').offsetHeight";
        assert_eq!(browser.evaluate(brief), 0);
        browser.evaluate("document.querySelector('.tldr').click()");
        assert_ne!(browser.evaluate("document.querySelector('.paragraph').offsetHeight"), 0);
        // The same without a mouse, and a screen reader is told.
        let button = "document.querySelector('article button.more')";
        let state = format!("{button}.getAttribute('aria-expanded') + {button}.textContent");
        assert_eq!(browser.evaluate(&state), "true收起");
        browser.evaluate(&format!("{button}.focus(), document.activeElement.click()"));
        assert_eq!(browser.evaluate(&state), "false展开");
        assert_eq!(browser.evaluate("document.querySelector('.paragraph').offsetHeight"), 0);
        browser.evaluate("document.getElementById('brief').click()");
        // A click on what is shown in full opens nothing for the brief view.
        browser.evaluate("document.querySelector('.tldr').click()");
        assert_eq!(browser.evaluate(&state), "false展开");
        // Light and dark, by the system's wish and by the button.
        let lightness = "getComputedStyle(document.body).backgroundColor";
        browser.prefer_dark(true);
        let dark = browser.evaluate(lightness);
        browser.prefer_dark(false);
        let light = browser.evaluate(lightness);
        assert_ne!(light, dark);
        browser.evaluate("document.getElementById('theme').click()");
        assert_eq!(browser.evaluate(lightness), dark);
        browser.evaluate("document.getElementById('theme').click()");
        assert_eq!(browser.evaluate(lightness), light);
        browser.evaluate("localStorage.clear()");
        assert_eq!(browser.requests().len(), 1, "{:?}", browser.requests());
        assert_eq!(browser.complaints(), Vec::<String>::new());
    }
}

#[test]
fn a_browser_takes_hostile_papers_for_text() {
    let Some(program) = chromium::named() else { return };
    let mut browser = Chromium::start(&program);
    let records = vec![hostile(), fixture().remove(0)];
    let _folder = opened(&mut browser, "page.html", &page(records));
    assert_eq!(browser.evaluate("document.title"), "文摘 2026-11-25");
    let foreign =
        "document.querySelectorAll('img, iframe, object, article script, article style').length";
    assert_eq!(browser.evaluate(foreign), 0);
    let links = "[...document.links].filter((link) => link.protocol !== 'https:').length";
    assert_eq!(browser.evaluate(links), 0);
    let titles =
        "[...document.querySelectorAll('h3')].map((title) => title.textContent).join('\\n')";
    let shown = browser.evaluate(titles);
    assert!(
        shown.as_str().unwrap().contains("题 <script>document.title='owned'</script>"),
        "{shown}"
    );
    assert_eq!(browser.requests().len(), 1, "{:?}", browser.requests());
    // The policy holds where escaping would not: what gets in neither runs nor is fetched.
    browser.evaluate(
        "document.querySelector('article').insertAdjacentHTML('beforeend',
            `<img src=\"http://127.0.0.1:9/x.png\" onerror=\"document.title='owned'\">`)",
    );
    browser.evaluate("new Promise((done) => setTimeout(done, 200))");
    assert_eq!(browser.evaluate("document.title"), "文摘 2026-11-25");
    let complaints = browser.complaints().join("\n");
    assert!(complaints.contains("Content Security Policy"), "{complaints}");
}

#[test]
fn a_browser_finds_titles_in_the_index_and_follows_them() {
    let Some(program) = chromium::named() else { return };
    let place = Place::new();
    place.write("2026-11-25.jsonl", FIXTURE);
    place.write("2026-11-24.jsonl", DAY_BEFORE);
    assert_eq!(place.run(&["site", "."]).status, 0);
    let mut browser = Chromium::start(&program);
    for (width, height, is_phone) in [(1280, 900, false), (360, 740, true)] {
        browser.resize(width, height, is_phone);
        browser.open(&place.path().join("index.html"));
        assert_eq!(browser.evaluate(SHOWN), "2026-11-25 2026-11-24");
        browser.choose("query", "口哨语");
        assert_eq!(browser.evaluate(SHOWN), "2026-11-24");
        let found = "[...document.querySelectorAll('li a')].filter((a) => a.offsetHeight > 0)
            .map((a) => a.getAttribute('href')).join(' ')";
        assert_eq!(browser.evaluate(found), "2026-11-24.html#2699.01001");
        browser.choose("query", "2026-11-25 sheep");
        assert_eq!(browser.evaluate(found), "2026-11-25.html#2699.01101");
        // Every day of a year has its digits.
        browser.choose("query", "26");
        assert_eq!(browser.evaluate(found), "");
        browser.choose("query", "no such thing");
        assert_eq!(browser.evaluate(SHOWN), "");
        browser.choose("query", "");
        assert_eq!(browser.evaluate("document.documentElement.scrollWidth"), width);
        assert_eq!(browser.requests().len(), 1, "{:?}", browser.requests());
        assert_eq!(browser.complaints(), Vec::<String>::new());
    }
    browser.open(&place.path().join("2026-11-24.html"));
    let target = "document.getElementById('2699.01001').querySelector('h3').textContent";
    assert!(browser.evaluate(target).as_str().unwrap().contains("口哨语"));
    let back =
        "[...document.querySelectorAll('header a')].map((a) => a.getAttribute('href')).join()";
    assert_eq!(browser.evaluate(back), "index.html");
}
