//! Arbitrary text as the file of settings: it is refused with a reason, or has the profiles that a
//! reader of TOML finds there, each of which is a digest that could be asked for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wenzhai::cli::profiles_in;
use wenzhai::text_file;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = text_file::decode(bytes) else { return };
    let Ok(names) = profiles_in(&text) else { return };
    let table: toml::Table = toml::from_str(&text).expect("it was read as TOML");
    let profiles = table.get("digest").map(|digest| digest.as_table().expect("a table"));
    assert_eq!(names.len(), profiles.map_or(0, toml::Table::len));
    assert!(names.iter().all(|name| profiles.is_some_and(|all| all.contains_key(name))));
});
