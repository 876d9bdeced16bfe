//! Arbitrary bytes as the file of a glossary: it is read or refused with the place, and what is
//! told of a paper stays on one line and within its bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wenzhai::glossary::{Glossary, MAX_OWN_TOLD};
use wenzhai::text_file;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = text_file::decode(bytes) else { return };
    let Ok(glossary) = Glossary::parse("fuzz", &text) else { return };
    // A paper that has every term, and its title too.
    let told = glossary.terms_of(&text, &text);
    assert!(told.len() <= MAX_OWN_TOLD);
    for term in &told {
        assert!(!term.term.contains('\n') && !term.translation.contains('\n'));
    }
    assert_eq!(glossary.identity().map(str::len), Some(64));
});
