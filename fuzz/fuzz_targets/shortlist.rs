//! Arbitrary bytes as a shortlist: what is read is what would be written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wenzhai::shortlist::Shortlist;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(list) = Shortlist::decode(bytes) {
        assert_eq!(list.encode(), bytes);
        assert!(list.ids().is_sorted_by(|a, b| a < b));
    }
});
