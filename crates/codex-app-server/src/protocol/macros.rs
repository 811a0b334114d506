//! The three shapes that protocol types come in.

/// A newtype over the string that names something.
macro_rules! id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes the id as codex spells it.
            pub fn new(id: impl Into<String>) -> Self {
                Self(id.into())
            }

            /// The id as codex spells it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(id: &str) -> Self {
                Self(id.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(id: String) -> Self {
                Self(id)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

/// An enum of strings that stays open: what this version doesn't know becomes `Unknown(text)`.
macro_rules! open_enum {
    ($(#[$meta:meta])* pub enum $name:ident { $( $(#[$vmeta:meta])* $variant:ident = $text:literal ),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $( $(#[$vmeta])* $variant, )+
            /// A value that this version doesn't know.
            Unknown(String),
        }

        impl $name {
            /// Every value this version knows, as it is on the wire.
            pub const KNOWN: &[&str] = &[$($text),+];

            /// The value as it is on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $( Self::$variant => $text, )+
                    Self::Unknown(text) => text,
                }
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                match text {
                    $( $text => Self::$variant, )+
                    other => Self::Unknown(other.to_owned()),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Ok(Self::from(text.as_ref()))
            }
        }
    };
}

/// An enum of objects tagged by their `type`, for reading: an unknown type, and a known one that doesn't have the
/// expected shape, become `Unknown` with the JSON as it came.
///
/// Not `#[serde(tag)]`: that copies the whole object into an intermediate form first (objects may be megabytes), and
/// can't keep what it doesn't know.
macro_rules! tagged {
    ($(#[$meta:meta])* pub enum $name:ident { $( $(#[$vmeta:meta])* $variant:ident($type:ty) = $tag:literal ),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $name {
            $( $(#[$vmeta])* $variant($type), )+
            /// A type that this version doesn't know, or one of another shape than expected.
            Unknown {
                /// The object's `type`; empty if it had none.
                kind: String,
                /// The object as it came.
                raw: $crate::protocol::Raw,
            },
        }

        impl $name {
            /// The tags this version knows.
            pub const KNOWN: &[&str] = &[$($tag),+];

            /// The object's `type` as it is on the wire.
            pub fn kind(&self) -> &str {
                match self {
                    $( Self::$variant(_) => $tag, )+
                    Self::Unknown { kind, .. } => kind,
                }
            }

            fn from_raw(raw: $crate::protocol::Raw) -> Self {
                let kind = raw.tag().unwrap_or_default();
                let known = match kind.as_str() {
                    $( $tag => serde_json::from_str(raw.get()).map(Self::$variant).ok(), )+
                    _ => None,
                };
                known.unwrap_or(Self::Unknown { kind, raw })
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <$crate::protocol::Raw as serde::Deserialize>::deserialize(deserializer).map(Self::from_raw)
            }
        }
    };
}
