//! The kinds of events of a family. The OpenAPI document describes them.

use poem_openapi::{
    registry::{MetaSchemaRef, Registry},
    types::Type,
};

/// A kind of event that a stream can send.
pub struct EventKind {
    /// The `event` field of the server-sent event.
    pub kind: &'static str,
    /// A description for the OpenAPI document: the meaning of the event, and when the gateway sends it.
    pub description: &'static str,
    /// Registers the schema of the event's data and returns a reference to it.
    pub schema: fn(&mut Registry) -> MetaSchemaRef,
}

/// Registers the schema of `T`, for [`EventKind::schema`].
pub fn schema<T: Type>(registry: &mut Registry) -> MetaSchemaRef {
    T::register(registry);
    T::schema_ref()
}
