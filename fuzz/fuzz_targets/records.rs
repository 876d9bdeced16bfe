//! Arbitrary bytes as lines of records, and of what is measured: reading never panics, and a record
//! that is read is written and read again as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wenzhai::eval::{Reference, Written};
use wenzhai::feed::utf8_lines;
use wenzhai::record::{Record, read_jsonl, read_lines};

fuzz_target!(|bytes: &[u8]| {
    // Lines may be in UTF-16, as Windows PowerShell saves them.
    if let Ok(lines) = utf8_lines("fuzz", std::io::Cursor::new(bytes.to_vec())) {
        for record in read_jsonl(lines, "fuzz").filter_map(Result::ok) {
            let line = serde_json::to_vec(&record).expect("a record is plain data");
            let again: Vec<Record> = read_jsonl(&line[..], "fuzz")
                .collect::<Result<_, _>>()
                .expect("it was written by us");
            assert_eq!(again, [record]);
        }
    }
    for reference in read_lines::<Reference, _>(bytes, "fuzz").filter_map(Result::ok) {
        assert!(!reference.id.is_empty() && reference.id.trim() == reference.id);
    }
    for written in read_lines::<Written, _>(bytes, "fuzz").filter_map(Result::ok) {
        assert!(written.error.is_none() || written.is_failed());
    }
});
