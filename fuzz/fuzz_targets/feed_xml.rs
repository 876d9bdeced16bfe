//! Arbitrary bytes after the start of an XML feed: reading never panics, and what it hands over
//! is what the report counts.
#![no_main]

#[path = "../counted.rs"]
mod counted;

const STARTS: [&str; 5] = ["", "<rss><channel>", "<RDF>", "<feed>", "<OAI-PMH><ListRecords>"];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| counted::check(&STARTS, bytes));
