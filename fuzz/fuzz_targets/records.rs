//! Arbitrary bytes as lines of records: reading never panics, and what is read is written and read
//! again as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wenzhai::record::{Record, read_jsonl};

fuzz_target!(|bytes: &[u8]| {
    for record in read_jsonl(bytes, "fuzz").filter_map(Result::ok) {
        let line = serde_json::to_vec(&record).expect("a record is plain data");
        let again: Vec<Record> =
            read_jsonl(&line[..], "fuzz").collect::<Result<_, _>>().expect("it was written by us");
        assert_eq!(again, [record]);
    }
});
