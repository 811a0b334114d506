//! JSON kept as it came.

use std::fmt;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

/// JSON text kept as it came: what this version doesn't know, or what is opaque by nature (a tool's arguments).
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Raw(Box<RawValue>);

impl Raw {
    /// The JSON text.
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        self.get() == "null"
    }

    /// Reads it as something.
    ///
    /// # Errors
    /// When the JSON doesn't have the shape of `T`.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.get())
    }

    /// The string in its member `type`, if there is one.
    pub(crate) fn tag(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Tag {
            r#type: String,
        }
        self.parse().map(|Tag { r#type }| r#type).ok()
    }
}

impl From<Box<RawValue>> for Raw {
    fn from(raw: Box<RawValue>) -> Self {
        Self(raw)
    }
}

impl From<serde_json::Value> for Raw {
    fn from(value: serde_json::Value) -> Self {
        Self(
            serde_json::value::to_raw_value(&value)
                .expect("a JSON value can always be written as JSON"),
        )
    }
}

impl Default for Raw {
    /// `null`.
    fn default() -> Self {
        serde_json::Value::Null.into()
    }
}

impl PartialEq for Raw {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl fmt::Debug for Raw {
    /// The beginning only: such JSON can be megabytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 200;
        let text = self.get();
        match text.char_indices().nth(SHOWN) {
            Some((cut, _)) => write!(f, "{}… ({} bytes)", &text[..cut], text.len()),
            None => f.write_str(text),
        }
    }
}

/// A value this version knows, or its JSON.
#[derive(Clone, Debug, PartialEq)]
pub enum Lenient<T> {
    /// A value of a known shape.
    Known(T),
    /// Anything else.
    Unknown(Raw),
}

impl<T> Lenient<T> {
    /// The value, if its shape is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }
}

impl<T> Default for Lenient<T> {
    fn default() -> Self {
        Self::Unknown(Raw::default())
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Raw::deserialize(deserializer)?;
        Ok(raw.parse().map_or_else(|_| Self::Unknown(raw), Self::Known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_only_the_beginning_of_long_json() {
        let raw = Raw::from(serde_json::Value::String("é".repeat(1000)));
        let shown = format!("{raw:?}");
        assert!(shown.len() < 500, "{shown}");
        assert!(shown.ends_with("(2002 bytes)"), "{shown}");
    }

    #[test]
    fn an_unknown_shape_is_kept() {
        let value: Lenient<u8> = serde_json::from_str(r#"{"a":1}"#).unwrap();
        assert_eq!(
            value,
            Lenient::Unknown(Raw::from(serde_json::json!({"a": 1})))
        );
        assert_eq!(
            serde_json::from_str::<Lenient<u8>>("3").unwrap().known(),
            Some(&3)
        );
    }
}
