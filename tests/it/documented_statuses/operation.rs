//! The document's entries for one operation: path, role, query and body.

use entity::user::Role;
use serde_json::Value;

use crate::support::openapi::{Operation, operations, resolve};

/// Pages for browsers. They have HTML and forms, so oauth/refused.rs and oauth/link.rs test them.
pub const PAGES: [&str; 4] =
    ["oauth_callback", "oauth_page_continue", "oauth_page_get", "oauth_page_login"];

/// The operations that programs call.
pub fn programs(document: &Value) -> Vec<Operation<'_>> {
    let mut all = operations(document);
    all.retain(|operation| !PAGES.contains(&operation.id));
    all
}

impl Operation<'_> {
    pub fn is_public(&self) -> bool {
        self.value["security"].as_array().is_none_or(Vec::is_empty)
    }

    pub fn is_stream(&self) -> bool {
        self.id.ends_with("_stream")
    }

    /// The names in the path.
    pub fn ids(&self) -> Vec<&str> {
        let (path, _) = self.path.split_once('?').unwrap_or((self.path, ""));
        let segments = path.split('/');
        segments.filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect()
    }

    /// The path with these values in place of its names.
    pub fn path_with(&self, values: impl IntoIterator<Item = String>) -> String {
        self.ids().iter().zip(values).fold(self.path.to_owned(), |path, (name, value)| {
            path.replace(&format!("{{{name}}}"), &value)
        })
    }

    /// The example of the request's body.
    pub fn body(&self, document: &Value) -> Option<Value> {
        let content = self.value["requestBody"]["content"].as_object()?;
        let schema = &content.values().next().expect("a media type")["schema"];
        let schema = resolve(document, schema["$ref"].as_str().expect("a schema with a name"));
        let example = &schema["example"];
        assert!(!example.is_null(), "{}: the body has no example", self.id);
        Some(example.clone())
    }

    /// The required query parameters, with the values of their examples.
    pub fn query(&self) -> Vec<String> {
        let parameters = self.value["parameters"].as_array().into_iter().flatten();
        let needed = parameters.filter(|it| it["in"] == "query" && it["required"] == true);
        let pairs = needed.flat_map(|parameter| {
            let name = parameter["name"].as_str().expect("a name");
            let example = &parameter["example"];
            let values = example.as_array().map_or(std::slice::from_ref(example), Vec::as_slice);
            values.iter().map(move |value| format!("{name}={}", value.as_str().expect("a text")))
        });
        pairs.collect()
    }

    /// The role that the description names.
    pub fn role(&self) -> Option<Role> {
        let text = self.value["description"].as_str().unwrap_or_default();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let (_, rest) = text.split_once("Requires the role ")?;
        let word = rest.split(|c: char| !c.is_alphabetic()).next()?;
        match word {
            "viewer" => Some(Role::Viewer),
            "agent" => Some(Role::Agent),
            "operator" => Some(Role::Operator),
            "admin" => Some(Role::Admin),
            _ => None,
        }
    }
}
