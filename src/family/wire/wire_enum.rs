//! Wire enums with the variants of a row enum. There are two enums because the rows do not depend on the wire.

/// Defines a wire enum and its conversions. `= ROW` converts to the row enum only, so the wire enum can have fewer
/// variants. `<=> ROW` converts both ways. Then both enums must have the same variants, or the code does not compile.
macro_rules! wire_enum {
    ($(#[$doc:meta])* $visibility:vis $name:ident = $row:path { $($(#[$variant_doc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, poem_openapi::Enum)]
        #[oai(rename_all = "snake_case")]
        $visibility enum $name { $($(#[$variant_doc])* $variant),+ }

        impl From<$name> for $row {
            fn from(value: $name) -> Self {
                use $row as Row;
                match value { $($name::$variant => Row::$variant),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&poem_openapi::types::ToJSON::to_json_string(self).replace('"', ""))
            }
        }
    };
    ($(#[$doc:meta])* $visibility:vis $name:ident <=> $row:path { $($(#[$variant_doc:meta])* $variant:ident),+ $(,)? }) => {
        $crate::family::wire::wire_enum! {
            $(#[$doc])* $visibility $name = $row { $($(#[$variant_doc])* $variant),+ }
        }

        impl From<$row> for $name {
            fn from(value: $row) -> Self {
                use $row as Row;
                match value { $(Row::$variant => Self::$variant),+ }
            }
        }
    };
}
pub(crate) use wire_enum;
