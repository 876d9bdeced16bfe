//! Values of JSON that others may write in other ways than this program: a field of a record is left
//! out, and not the record, where nothing can be made of it.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

/// The value of a field that a record can do without, or what stands for none where it is of another type.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(
    field: D,
) -> std::result::Result<T, D::Error> {
    let value = serde_json::Value::deserialize(field)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// The value of a field, where `null` says that there is none.
pub(crate) fn or_none<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    field: D,
) -> std::result::Result<T, D::Error> {
    Ok(Option::<T>::deserialize(field)?.unwrap_or_default())
}

/// A text, where an empty one says that there is none, as tables write it.
pub(crate) fn or_no_text<'de, D: Deserializer<'de>>(
    field: D,
) -> std::result::Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(field)?.filter(|text| !text.trim().is_empty()))
}
