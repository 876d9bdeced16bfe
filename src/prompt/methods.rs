//! Methods of Python's strings in chat templates, but for calls of them that make much out of little: a
//! template comes with a file that anyone may have written.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;

/// Most digits of a number in a format: text is filled up to so many characters.
const MAX_DIGITS: usize = 3;

/// The outcome of `value.name(args)`.
pub(super) fn method(
    state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let refused = |what| Err(Error::new(ErrorKind::InvalidOperation, what));
    match name {
        "format" if value.as_str().is_some_and(has_long_number) => {
            refused("a format is wider than 999 characters")
        }
        // A list that holds one list twice, and so on, is as long as one likes.
        "join" if args.iter().any(holds_lists) => refused("what is joined is no text"),
        _ => unknown_method_callback(state, value, name, args),
    }
}

fn has_long_number(format: &str) -> bool {
    format.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() > MAX_DIGITS)
}

fn holds_lists(value: &Value) -> bool {
    let is_text = |item: Value| {
        matches!(item.kind(), ValueKind::String | ValueKind::Number | ValueKind::Bool)
    };
    !value.try_iter().is_ok_and(|mut items| items.all(is_text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(template: &str) -> Result<String, Error> {
        let mut jinja = minijinja::Environment::new();
        jinja.set_unknown_method_callback(method);
        jinja.render_str(template, ())
    }

    #[test]
    fn methods_are_pythons_but_for_what_fills_the_memory() {
        for (template, expected) in [
            ("{{ ' a '.strip() }}", "a"),
            ("{{ '{:4}|'.format('a') }}", "a   |"),
            ("{{ ', '.join(['a', 1]) }}", "a, 1"),
        ] {
            assert_eq!(render(template).unwrap(), expected, "{template}");
        }
        for template in [
            "{{ '{:9999999999999}'.format('a') }}",
            "{{ '{:.9999999999999f}'.format(1) }}",
            "{% set v = ['x'] %}{{ ''.join([[v, v], [v, v]]) }}",
        ] {
            assert!(render(template).is_err(), "{template}");
        }
    }
}
