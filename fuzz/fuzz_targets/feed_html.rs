//! Arbitrary bytes as a catch-up page of arXiv's, whole or after its heading: reading never panics,
//! and what it hands over is what the report counts.
#![no_main]

#[path = "../counted.rs"]
mod counted;

const STARTS: [&str; 2] = ["", "<html><h1>Catchup results for X on Wed, 25 Nov 2026</h1><dl><dt>"];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| counted::check(&STARTS, bytes));
