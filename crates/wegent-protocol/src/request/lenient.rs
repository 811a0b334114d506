//! Scalars and shapes that come in more than one form on the wire.
//!
//! All are visitors rather than untagged enums, so that errors keep the path of the field.

use std::{fmt, marker::PhantomData};

use secrecy::SecretString;
use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor, value},
};

/// A number that may come as a string of digits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Int(pub(super) i64);

impl<'de> Deserialize<'de> for Int {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IntVisitor;

        fn unexpected<E: de::Error>(got: impl fmt::Display) -> E {
            E::custom(format_args!(
                "expected an integer or a string of digits, got {got}"
            ))
        }

        impl<'de> Visitor<'de> for IntVisitor {
            type Value = Int;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer or a string of digits")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Int, E> {
                Ok(Int(number))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Int, E> {
                i64::try_from(number)
                    .map(Int)
                    .map_err(|_| unexpected(number))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Int, E> {
                let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                match text.parse() {
                    Ok(number) if digits => Ok(Int(number)),
                    _ => Err(unexpected(format_args!("{text:?}"))),
                }
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Int, E> {
                Err(unexpected(number))
            }

            fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Int, E> {
                Err(unexpected(flag))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Int, A::Error> {
                Err(unexpected("an array"))
            }

            fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Int, A::Error> {
                Err(unexpected("an object"))
            }
        }

        deserializer.deserialize_any(IntVisitor)
    }
}

/// Text that may come as a number or a boolean, as values of environments and headers do.
#[derive(Clone, Debug)]
pub(crate) struct Text(pub(crate) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl Visitor<'_> for TextVisitor {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a number or a boolean")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<Text, E> {
                Ok(Text(text))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }

            fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Text, E> {
                Ok(Text(flag.to_string()))
            }
        }

        deserializer.deserialize_any(TextVisitor)
    }
}

/// [`Text`] or an array of it.
#[derive(Clone, Debug)]
pub(super) enum TextOrTexts {
    One(String),
    Several(Vec<String>),
}

impl<'de> Deserialize<'de> for TextOrTexts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextsVisitor;

        impl<'de> Visitor<'de> for TextsVisitor {
            type Value = TextOrTexts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a number, a boolean or an array of them")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<TextOrTexts, E> {
                Ok(TextOrTexts::One(text.to_owned()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<TextOrTexts, E> {
                Ok(TextOrTexts::One(number.to_string()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<TextOrTexts, E> {
                Ok(TextOrTexts::One(number.to_string()))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<TextOrTexts, E> {
                Ok(TextOrTexts::One(number.to_string()))
            }

            fn visit_bool<E: de::Error>(self, flag: bool) -> Result<TextOrTexts, E> {
                Ok(TextOrTexts::One(flag.to_string()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<TextOrTexts, A::Error> {
                let texts: Vec<Text> = Vec::deserialize(value::SeqAccessDeserializer::new(seq))?;
                let texts = texts.into_iter().map(|text| text.0).collect();
                Ok(TextOrTexts::Several(texts))
            }
        }

        deserializer.deserialize_any(TextsVisitor)
    }
}

/// [`Text`] that nothing prints.
#[derive(Clone, Debug)]
pub(super) struct SecretText(pub(super) SecretString);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Text::deserialize(deserializer).map(|text| Self(text.0.into()))
    }
}

/// A finite number that may come as a string.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number(pub(super) f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?;
        match text.0.trim().parse() {
            Ok(number) if f64::is_finite(number) => Ok(Self(number)),
            _ => Err(de::Error::custom(format_args!(
                "expected a number, got {:?}",
                text.0
            ))),
        }
    }
}

/// One `T` or an array of them.
#[derive(Clone, Debug)]
pub(super) struct OneOrMany<T>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrManyVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrManyVisitor<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object or an array of objects")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(value::MapAccessDeserializer::new(map))
                    .map(|one| OneOrMany(vec![one]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(value::SeqAccessDeserializer::new(seq)).map(OneOrMany)
            }
        }

        deserializer.deserialize_any(OneOrManyVisitor(PhantomData))
    }
}

/// A string where only the main thing is said, or an object with all of it.
#[derive(Clone, Debug)]
pub(super) enum TextOr<T> {
    Text(String),
    Object(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for TextOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for TextOrVisitor<T> {
            type Value = TextOr<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an object")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(TextOr::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(value::MapAccessDeserializer::new(map)).map(TextOr::Object)
            }
        }

        deserializer.deserialize_any(TextOrVisitor(PhantomData))
    }
}

/// A mode of the agent's web search; a boolean is read as Codex names it.
#[derive(Clone, Debug, Default)]
pub(super) struct WebSearch(pub(super) Option<String>);

impl<'de> Deserialize<'de> for WebSearch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WebSearchVisitor;

        impl<'de> Visitor<'de> for WebSearchVisitor {
            type Value = WebSearch;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a boolean")
            }

            fn visit_str<E: de::Error>(self, mode: &str) -> Result<WebSearch, E> {
                Ok(WebSearch(Some(mode.to_owned())))
            }

            fn visit_bool<E: de::Error>(self, on: bool) -> Result<WebSearch, E> {
                Ok(WebSearch(Some(
                    if on { "live" } else { "disabled" }.to_owned(),
                )))
            }

            // A structured setting is some other agent's.
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WebSearch, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(WebSearch(None))
            }
        }

        deserializer.deserialize_any(WebSearchVisitor)
    }
}
