//! The elements of one item, and how the forms look into them.

/// One element inside an item or at the head of a feed.
#[derive(Debug)]
pub(super) struct Field {
    /// Names from the item, or the root, down to the element: `author/name`.
    pub(super) path: String,
    pub(super) attributes: Vec<(String, String)>,
    /// The text of the element and, in an item, of those inside it.
    pub(super) text: String,
}

/// The elements of one item, or of a feed's head.
#[derive(Debug, Default)]
pub(super) struct Fields(pub(super) Vec<Field>);

impl Fields {
    /// Text of the first element at `path` that has any; empty where there is none.
    pub(super) fn text(&self, path: &'static str) -> &str {
        self.texts(path).next().unwrap_or_default()
    }

    /// Texts of all elements at `path` that have any.
    pub(super) fn texts(&self, path: &'static str) -> impl Iterator<Item = &str> {
        let texts = self.0.iter().filter(move |field| field.path == path);
        texts.map(|field| field.text.as_str()).filter(|text| !text.trim().is_empty())
    }

    /// The values of `name` on all elements at `path`.
    pub(super) fn attributes(
        &self,
        path: &'static str,
        name: &'static str,
    ) -> impl Iterator<Item = &str> {
        let fields = self.0.iter().filter(move |field| field.path == path);
        fields.filter_map(move |field| field.attribute(name))
    }

    /// The value of `name` on the first element at `path` on which `key` is `value`.
    pub(super) fn attribute_where(
        &self,
        path: &str,
        (key, value): (&str, &str),
        name: &str,
    ) -> Option<&str> {
        let mut fields = self.0.iter().filter(|field| field.path == path);
        fields.find(|field| field.attribute(key) == Some(value))?.attribute(name)
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.0.iter().any(|field| field.path == path)
    }
}

impl Field {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}
