//! Arbitrary texts as the fields of two records: the digest of them, read by a Markdown parser, is
//! one table and one footnote a paper, without HTML, and with no link but the papers' own.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pulldown_cmark::{Event, Options, Parser, Tag};
use wenzhai::digest::{InOrder, markdown};
use wenzhai::record::Record;

const LINK: &str = "https://arxiv.org/abs/2699.00001";

fuzz_target!(|texts: [&str; 5]| {
    let [title, abstract_text, zh_title, zh_tldr, zh_abstract] = texts.map(str::to_owned);
    let record = Record {
        link: LINK.to_owned(),
        title,
        abstract_text,
        zh_title,
        zh_tldr,
        zh_abstract,
        ..Record::default()
    };
    let error = Some(record.zh_tldr.clone());
    let failed = Record { error, zh_tldr: String::new(), ..record.clone() };
    let mut digest = Vec::new();
    markdown(&InOrder::new(vec![record, failed]), &mut digest).expect("memory takes everything");
    let digest = String::from_utf8(digest).expect("a digest is UTF-8");
    let options =
        Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES | Options::ENABLE_STRIKETHROUGH;
    let (mut tables, mut rows, mut footnotes) = (0, 0, 0);
    for event in Parser::new_ext(&digest, options) {
        match event {
            Event::Start(Tag::Table(_)) => tables += 1,
            Event::Start(Tag::TableRow) => rows += 1,
            Event::Start(Tag::FootnoteDefinition(_)) => footnotes += 1,
            Event::Start(Tag::Link { dest_url, .. }) => assert_eq!(&*dest_url, LINK, "{digest}"),
            Event::Start(
                Tag::Image { .. }
                | Tag::Emphasis
                | Tag::Strong
                | Tag::Strikethrough
                | Tag::List(_)
                | Tag::BlockQuote(_),
            )
            | Event::Html(_)
            | Event::InlineHtml(_)
            | Event::Rule => panic!("{event:?} in {digest}"),
            _ => {}
        }
    }
    assert_eq!((tables, rows, footnotes), (1, 2, 2), "{digest}");
});
