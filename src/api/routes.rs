//! The paths of the operations, for the middleware, which sees requests before and after their operations.

use poem_openapi::{
    OpenApi,
    registry::{MetaOperation, MetaPath},
};

/// The paths of the operations.
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
    /// The paths of these operations. Not read from the OpenAPI document, because its generation takes longer than the rest
    /// of a start.
    pub(super) fn new<A: OpenApi>() -> Self {
        Self(A::meta().into_iter().flat_map(|api| api.paths).map(|path| route(&path)).collect())
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

fn route(path: &MetaPath) -> Route {
    let method = |operation: &MetaOperation| operation.method.to_string();
    let mut methods: Vec<String> = path.operations.iter().map(method).collect();
    methods.sort_unstable();
    if methods.iter().any(|method| method == "GET") {
        methods.push("HEAD".to_owned());
    }
    let public = path.operations.iter().filter(|operation| operation.security.is_empty());
    let public = public.map(method).collect();
    // A stream token is accepted at streams only.
    let is_stream = path
        .operations
        .iter()
        .flat_map(|operation| &operation.security)
        .any(|scheme| scheme.contains_key("stream_token"));
    let segments = path.path.split('/').map(str::to_owned).collect();
    Route { segments, methods, public, is_stream }
}
