//! Keys in JSON that `serde_json` reserves for itself.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

/// JSON without the keys that `serde_json` reserves. It parses a string under such a key as JSON again, with a new
/// limit for the depth, until the stack overflows. Other crates turn that feature on, and it cannot be
/// turned off.
pub(super) struct Harmless;

impl<'de> Deserialize<'de> for Harmless {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(HarmlessVisitor)
    }
}

struct HarmlessVisitor;

impl<'de> Visitor<'de> for HarmlessVisitor {
    type Value = Harmless;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Harmless, E> {
        Ok(Harmless)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Harmless, E> {
        Ok(Harmless)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Harmless, E> {
        Ok(Harmless)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Harmless, E> {
        Ok(Harmless)
    }

    fn visit_str<E>(self, _: &str) -> Result<Harmless, E> {
        Ok(Harmless)
    }

    fn visit_unit<E>(self) -> Result<Harmless, E> {
        Ok(Harmless)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Harmless, A::Error> {
        while seq.next_element::<Harmless>()?.is_some() {}
        Ok(Harmless)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Harmless, A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key.starts_with("$serde_json::private::") {
                return Err(A::Error::custom("a key is reserved"));
            }
            map.next_value::<Harmless>()?;
        }
        Ok(Harmless)
    }
}
