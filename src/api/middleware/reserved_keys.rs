//! Keys in JSON that `serde_json` reserves for itself.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

/// JSON without the keys that `serde_json` reserves. With the feature `raw_value`, `serde_json` parses a string under
/// such a key as JSON again, with a new depth limit. So nested strings could overflow the stack. The event pages need
/// this feature.
pub(super) struct WithoutReservedKeys;

impl<'de> Deserialize<'de> for WithoutReservedKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WithoutReservedKeysVisitor)
    }
}

struct WithoutReservedKeysVisitor;

impl<'de> Visitor<'de> for WithoutReservedKeysVisitor {
    type Value = WithoutReservedKeys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<WithoutReservedKeys, E> {
        Ok(WithoutReservedKeys)
    }

    fn visit_i64<E>(self, _: i64) -> Result<WithoutReservedKeys, E> {
        Ok(WithoutReservedKeys)
    }

    fn visit_u64<E>(self, _: u64) -> Result<WithoutReservedKeys, E> {
        Ok(WithoutReservedKeys)
    }

    fn visit_f64<E>(self, _: f64) -> Result<WithoutReservedKeys, E> {
        Ok(WithoutReservedKeys)
    }

    fn visit_str<E>(self, _: &str) -> Result<WithoutReservedKeys, E> {
        Ok(WithoutReservedKeys)
    }

    fn visit_unit<E>(self) -> Result<WithoutReservedKeys, E> {
        Ok(WithoutReservedKeys)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<WithoutReservedKeys, A::Error> {
        while seq.next_element::<WithoutReservedKeys>()?.is_some() {}
        Ok(WithoutReservedKeys)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WithoutReservedKeys, A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key.starts_with("$serde_json::private::") {
                return Err(A::Error::custom(
                    "keys that start with $serde_json::private:: are not allowed",
                ));
            }
            map.next_value::<WithoutReservedKeys>()?;
        }
        Ok(WithoutReservedKeys)
    }
}
