//! What other crates say of a fault, in words for people who do not program.

use std::fmt::Display;

/// The message of `cause`, an error of another crate, without numbers of the operating system,
/// names of Rust types, and places in a text whose place the message around it names.
pub fn plain(cause: &dyn Display) -> String {
    let text = cause.to_string();
    let lines: Vec<String> = text.trim_end().lines().map(plain_line).collect();
    lines.join("\n")
}

fn plain_line(line: &str) -> String {
    let line = without_os_error(line);
    let line = without_place(&line);
    if line.starts_with("failed to lookup address information") {
        return "its name cannot be found".into();
    }
    if let Some(what) = line.strip_prefix("EOF while parsing ") {
        return format!("it ends in the middle of {}", kind(what));
    }
    if ["expected value", "expected ident"].contains(&line) {
        return "what stands there is no value".into();
    }
    let mismatch = |prefix| line.strip_prefix(prefix)?.split_once(", expected ");
    if let Some((found, expected)) = mismatch("invalid type: ") {
        return format!("{} stands where {} belongs", kind(found), kind(expected));
    }
    if let Some((found, expected)) = mismatch("invalid value: ") {
        // Of the right kind, and not of its range: `integer `-1``.
        let found = found.split('`').nth(1).unwrap_or(found);
        return format!("{found} cannot stand where {} belongs", kind(expected));
    }
    line.to_owned()
}

/// The standard library ends each error of a system call so: `(os error 2)`.
fn without_os_error(line: &str) -> String {
    match line.split_once(" (os error ") {
        Some((before, after)) => {
            let after = after.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-');
            format!("{before}{}", after.strip_prefix(')').unwrap_or(after))
        }
        None => line.to_owned(),
    }
}

/// serde_json ends its errors so: `at line 1 column 11`.
fn without_place(line: &str) -> &str {
    let is_place = |place: &str| {
        let mut words = place.split(' ');
        let is_number = |word: Option<&str>| word.is_some_and(|word| word.parse::<u64>().is_ok());
        is_number(words.next()) && words.next() == Some("column") && is_number(words.next())
    };
    match line.rsplit_once(" at line ") {
        Some((before, place)) if is_place(place) => before,
        _ => line,
    }
}

/// The kind of value that serde means by `text`.
fn kind(text: &str) -> String {
    let word = text.split([' ', ',']).next().unwrap_or_default();
    let known = match word {
        "integer" | "i64" | "u64" | "u32" | "usize" | "u16" | "u8" => "a whole number",
        "floating" | "f64" | "f32" => "a number",
        "string" | "character" => "a text",
        "boolean" => "true or false",
        "null" | "unit" => "nothing",
        "sequence" => "a list",
        "map" | "struct" => "a table",
        _ => match text {
            "a string" => "a text",
            "a boolean" => "true or false",
            "a sequence" => "a list",
            "a map" => "a table",
            _ => text,
        },
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cause: impl Display, expected: &str) {
        assert_eq!(plain(&cause), expected);
    }

    #[test]
    fn the_systems_numbers_go() {
        check(std::io::Error::from_raw_os_error(2), "No such file or directory");
        check("cannot read a (os error 5): b", "cannot read a: b");
    }

    #[test]
    fn parsers_speak_of_values_and_not_of_types() {
        let json = |text: &str| serde_json::from_str::<Vec<String>>(text).unwrap_err();
        check(json("[1]"), "a whole number stands where a text belongs");
        check(json("[1.5]"), "a number stands where a text belongs");
        check(json("[null]"), "nothing stands where a text belongs");
        check(json("[[]]"), "a list stands where a text belongs");
        check(json("7"), "a whole number stands where a list belongs");
        check(json("[\"a"), "it ends in the middle of a text");
        check(json("[\"a\""), "it ends in the middle of a list");
        check(json("[what]"), "what stands there is no value");
        #[derive(Debug, serde::Deserialize)]
        struct Table {
            #[expect(dead_code)]
            size: usize,
        }
        let toml = |text: &str| toml::from_str::<Table>(text).unwrap_err().message().to_owned();
        check(toml("size = 'x'"), "a text stands where a whole number belongs");
        check(toml(""), "missing field `size`");
    }

    #[test]
    fn what_is_plain_stays() {
        for text in ["Permission denied", "it was sold at line 3 of a market", "expected"] {
            check(text, text);
        }
    }
}
