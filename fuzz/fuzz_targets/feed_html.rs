//! Arbitrary bytes as a catch-up page of arXiv's, whole or after its heading: reading never panics,
//! and what it hands over is what the report counts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wenzhai::feed::{self, Event};

fuzz_target!(|bytes: &[u8]| {
    for start in ["", "<html><h1>Catchup results for X on Wed, 25 Nov 2026</h1><dl><dt>"] {
        let input = [start.as_bytes(), bytes].concat();
        let (mut items, mut malformed) = (0, 0);
        let report = feed::read_from("fuzz", &input[..], &mut |event| {
            match event {
                Event::Item(item) => {
                    assert!(!item.paper.plain_title.is_empty());
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
