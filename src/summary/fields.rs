//! Which texts of a summary are asked for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Field;
use crate::error::{Error, ErrorKind, Result};

/// The fields that are written about a paper; all of them unless a user asks for less.
///
/// A title alone is no summary: the one-liner, the paragraph or both are always among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<Field>", try_from = "Vec<Field>")]
pub struct Fields([bool; Field::ALL.len()]);

impl Fields {
    /// Title, one-liner and paragraph.
    pub const ALL: Fields = Fields([true; Field::ALL.len()]);

    /// Those of which `is_there` holds.
    pub(crate) fn of(is_there: impl FnMut(Field) -> bool) -> Fields {
        Fields(Field::ALL.map(is_there))
    }

    /// Whether `field` is one of them.
    pub fn has(self, field: Field) -> bool {
        Field::ALL.iter().zip(self.0).any(|(&one, is_there)| is_there && one == field)
    }

    /// Whether no field is left out.
    pub fn are_all(&self) -> bool {
        *self == Fields::ALL
    }

    /// Each of them, in the order of [`Field::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Field> {
        Field::ALL.into_iter().filter(move |&field| self.has(field))
    }
}

impl Default for Fields {
    fn default() -> Self {
        Fields::ALL
    }
}

impl TryFrom<Vec<Field>> for Fields {
    type Error = Error;

    /// # Errors
    /// [`ErrorKind::Usage`] where neither a one-liner nor a paragraph is among `fields`.
    fn try_from(fields: Vec<Field>) -> Result<Self> {
        let fields = Fields::of(|field| fields.contains(&field));
        if fields.has(Field::Tldr) || fields.has(Field::Paragraph) {
            return Ok(fields);
        }
        let message = format!("the fields `{fields}` are no summary");
        Err(Error::new(ErrorKind::Usage, message).hint("ask for one-liner, paragraph or both"))
    }
}

impl From<Fields> for Vec<Field> {
    fn from(fields: Fields) -> Self {
        fields.iter().collect()
    }
}

/// Names with commas between, such as `title,one-liner`.
impl FromStr for Fields {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let named = |name: &str| {
            Field::ALL.into_iter().find(|field| field.to_string() == name).ok_or_else(|| {
                let known = Field::ALL.map(|field| field.to_string()).join(", ");
                Error::new(ErrorKind::Usage, format!("a summary has no field `{name}`"))
                    .hint(format!("its fields are {known}"))
            })
        };
        text.split(',').map(|name| named(name.trim())).collect::<Result<Vec<_>>>()?.try_into()
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.iter().map(|field| field.to_string()).collect();
        f.write_str(&names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_read_in_any_order_and_written_in_one() {
        let fields: Fields = "one-liner, title".parse().unwrap();
        assert_eq!(fields.to_string(), "title,one-liner");
        assert!(!fields.are_all() && !fields.has(Field::Paragraph));
        assert_eq!("paragraph,title,one-liner".parse::<Fields>().unwrap(), Fields::ALL);
        let json = serde_json::to_string(&fields).unwrap();
        assert_eq!(json, r#"["title","one-liner"]"#);
        assert_eq!(serde_json::from_str::<Fields>(&json).unwrap(), fields);
    }

    #[test]
    fn what_is_no_summary_is_refused() {
        let check = |text: &str, message: &str, hint: &str| {
            let error = text.parse::<Fields>().unwrap_err();
            assert_eq!(error.to_string(), message);
            assert_eq!(error.hint_text(), Some(hint));
        };
        let fields = "its fields are title, one-liner, paragraph";
        check("title,tldr", "a summary has no field `tldr`", fields);
        check("", "a summary has no field ``", fields);
        check("title", "the fields `title` are no summary", "ask for one-liner, paragraph or both");
        assert!(serde_json::from_str::<Fields>("[]").is_err());
    }
}
