//! Arbitrary bytes after the start of an XML feed: reading never panics, and what it hands over
//! is what the report counts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wenzhai::feed::{self, Event};

fuzz_target!(|bytes: &[u8]| {
    for root in ["", "<rss><channel>", "<RDF>", "<feed>", "<OAI-PMH><ListRecords>"] {
        let input = [root.as_bytes(), bytes].concat();
        let (mut items, mut malformed) = (0, 0);
        let report = feed::read_from("fuzz", &input[..], &mut |event| {
            match event {
                Event::Item(item) => {
                    assert!(!item.paper.plain_title.is_empty());
                    // An abstract may be empty: then there is nothing to summarise.
                    items += 1;
                }
                Event::Malformed(_) => malformed += 1,
                Event::Short(_, missing) => malformed += missing,
                Event::Mended(_) | Event::More(_) | Event::Deleted | Event::Fetching(_) => {}
            }
            Ok(())
        });
        if let Ok(report) = report {
            assert_eq!((report.items, report.malformed), (items, malformed));
        }
    }
});
