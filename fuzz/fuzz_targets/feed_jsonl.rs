//! Arbitrary bytes as JSON, a record a line or a document: reading never panics, and each line
//! becomes at most one event that counts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wenzhai::feed::{self, Event};

fuzz_target!(|bytes: &[u8]| {
    for start in ["{", "[", "{\"title\":"] {
        let input = [start.as_bytes(), bytes].concat();
        let mut counted = 0;
        let report = feed::read_from("fuzz", &input[..], &mut |event| {
            counted +=
                u64::from(matches!(event, Event::Item(_) | Event::Malformed { lost: 1, .. }));
            Ok(())
        });
        if let Ok(report) = report {
            assert_eq!(report.items + report.malformed, counted);
        }
    }
});
