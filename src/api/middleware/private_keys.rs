//! Keys in JSON that `serde_json` reserves for itself.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

/// JSON without the keys that `serde_json` reserves. With the feature `raw_value`, `serde_json` parses a string under
/// such a key as JSON again, with a new depth limit. So nested strings could overflow the stack. The event pages need
/// this feature.
pub(super) struct WithoutPrivateKeys;

impl<'de> Deserialize<'de> for WithoutPrivateKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WithoutPrivateKeysVisitor)
    }
}

struct WithoutPrivateKeysVisitor;

impl<'de> Visitor<'de> for WithoutPrivateKeysVisitor {
    type Value = WithoutPrivateKeys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<WithoutPrivateKeys, E> {
        Ok(WithoutPrivateKeys)
    }

    fn visit_i64<E>(self, _: i64) -> Result<WithoutPrivateKeys, E> {
        Ok(WithoutPrivateKeys)
    }

    fn visit_u64<E>(self, _: u64) -> Result<WithoutPrivateKeys, E> {
        Ok(WithoutPrivateKeys)
    }

    fn visit_f64<E>(self, _: f64) -> Result<WithoutPrivateKeys, E> {
        Ok(WithoutPrivateKeys)
    }

    fn visit_str<E>(self, _: &str) -> Result<WithoutPrivateKeys, E> {
        Ok(WithoutPrivateKeys)
    }

    fn visit_unit<E>(self) -> Result<WithoutPrivateKeys, E> {
        Ok(WithoutPrivateKeys)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<WithoutPrivateKeys, A::Error> {
        while seq.next_element::<WithoutPrivateKeys>()?.is_some() {}
        Ok(WithoutPrivateKeys)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WithoutPrivateKeys, A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key.starts_with("$serde_json::private::") {
                return Err(A::Error::custom(
                    "keys that start with $serde_json::private:: are not allowed",
                ));
            }
            map.next_value::<WithoutPrivateKeys>()?;
        }
        Ok(WithoutPrivateKeys)
    }
}
