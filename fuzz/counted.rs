//! What holds for every form of a feed.

use wenzhai::feed::{self, Event};

/// Reads `bytes` behind each of `starts`: what is handed over is what the report counts.
pub fn check(starts: &[&str], bytes: &[u8]) {
    for start in starts {
        let input = [start.as_bytes(), bytes].concat();
        let (mut items, mut malformed) = (0, 0);
        let report = feed::read_from("fuzz", &input[..], &mut |event| {
            match event {
                Event::Item(item) => {
                    // An abstract may be empty: then there is nothing to summarise.
                    assert!(!item.paper.plain_title.is_empty());
                    items += 1;
                }
                Event::Malformed { lost, .. } => malformed += lost,
                Event::More(_) | Event::Deleted | Event::Fetching(_) => {}
            }
            Ok(())
        });
        if let Ok(report) = report {
            assert_eq!((report.items, report.malformed), (items, malformed));
        }
    }
}
