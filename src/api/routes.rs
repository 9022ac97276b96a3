//! The paths of the OpenAPI document, for the middleware, which sees requests before and after their operations.

use serde_json::{Value, json};

use super::streams::EVENT_STREAM;

/// The paths of the document.
pub(super) struct Routes(Vec<Route>);

struct Route {
    segments: Vec<String>,
    methods: Vec<String>,
    /// The methods that need no credential.
    public: Vec<String>,
    is_stream: bool,
}

/// The credential that an operation needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// The operation does not exist.
    None,
    /// The operation needs no credential.
    Public,
    /// The operation needs an access token or a stream token.
    Secured,
}

impl Routes {
    pub(super) fn new(document: &Value) -> Self {
        let paths = document["paths"].as_object().into_iter().flatten();
        Self(paths.map(|(path, operations)| route(path, operations)).collect())
    }

    /// The methods of a path, as `Allow` lists them (RFC 9110, section 10.2.1).
    pub(super) fn methods(&self, path: &str) -> String {
        self.find(path).map(|route| route.methods.join(", ")).unwrap_or_default()
    }

    pub(super) fn access(&self, path: &str, method: &str) -> Access {
        let has = |methods: &[String]| methods.iter().any(|known| known == method);
        match self.find(path) {
            Some(route) if has(&route.public) => Access::Public,
            Some(route) if has(&route.methods) => Access::Secured,
            _ => Access::None,
        }
    }

    pub(super) fn is_stream(&self, path: &str) -> bool {
        self.find(path).is_some_and(|route| route.is_stream)
    }

    fn find(&self, path: &str) -> Option<&Route> {
        // The path with the fewest placeholders has priority, as in the router.
        let placeholders = |route: &&Route| {
            route.segments.iter().filter(|segment| segment.starts_with('{')).count()
        };
        let parts: Vec<&str> = path.split('/').collect();
        self.0.iter().filter(|route| route.matches(&parts)).min_by_key(placeholders)
    }
}

impl Route {
    /// Whether the route has a path with these parts.
    fn matches(&self, parts: &[&str]) -> bool {
        let fits = |(segment, part): (&String, &&str)| segment.starts_with('{') || segment == part;
        self.segments.len() == parts.len() && self.segments.iter().zip(parts).all(fits)
    }
}

fn route(path: &str, operations: &Value) -> Route {
    let operations = operations.as_object();
    let mut methods: Vec<String> =
        operations.into_iter().flatten().map(|(method, _)| method.to_uppercase()).collect();
    if methods.iter().any(|method| method == "GET") {
        methods.push("HEAD".to_owned());
    }
    let public = operations.into_iter().flatten();
    let public = public.filter(|(_, operation)| operation["security"] == json!([]));
    let public = public.map(|(method, _)| method.to_uppercase()).collect();
    let is_stream = operations.into_iter().flatten().any(|(_, operation)| {
        operation
            .pointer("/responses/200/content")
            .is_some_and(|content| !content[EVENT_STREAM].is_null())
    });
    Route { segments: path.split('/').map(str::to_owned).collect(), methods, public, is_stream }
}
