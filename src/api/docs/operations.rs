//! The OpenAPI documents and Swagger UI, as operations.

use std::sync::Arc;

use poem::{
    IntoResponse, Request, Response,
    http::{HeaderValue, StatusCode, header},
};
use poem_openapi::{
    ApiResponse, OpenApi,
    registry::{
        MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
    },
    types::Type,
};
use tokio::{sync::OnceCell, task::spawn_blocking};

use super::encoded_document::EncodedDocument;
use crate::api::{
    openapi::{Documents, Version},
    problem::{MemoryResult, Problem, Result},
    tag::Tag,
    visitor::Visitor,
};

/// The content security policy of Swagger UI. The page contains its scripts and loads nothing from other origins. The
/// browser enforces that with this policy.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                      img-src 'self' data:; font-src data:; connect-src 'self'; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";

/// The document, or 304.
struct Json(Response);
/// The page, or 304.
struct Html(Response);

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        self.0
    }
}

impl IntoResponse for Html {
    fn into_response(mut self) -> Response {
        let policy = HeaderValue::from_static(POLICY);
        self.0.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        self.0
    }
}

impl ApiResponse for Json {
    fn meta() -> MetaResponses {
        let schema = MetaSchemaRef::Inline(Box::new(MetaSchema::new("object")));
        meta("The document", JSON, schema)
    }

    fn register(_registry: &mut Registry) {}
}

impl ApiResponse for Html {
    fn meta() -> MetaResponses {
        meta("The page", HTML, String::schema_ref())
    }

    fn register(_registry: &mut Registry) {}
}

fn meta(
    description: &'static str,
    content_type: &'static str,
    schema: MetaSchemaRef,
) -> MetaResponses {
    let field = |name: &str, description: &str| MetaHeader {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        required: true,
        deprecated: false,
        schema: String::schema_ref(),
    };
    let cache_fields = || {
        vec![
            field("ETag", "Version of the response. Send it as `If-None-Match`"),
            field(
                "Cache-Control",
                "`public, no-cache`: keep it, and ask each time whether it is current",
            ),
            field("Vary", "`accept-encoding`"),
        ]
    };
    let coding = MetaHeader {
        required: false,
        ..field("Content-Encoding", "`br` or `gzip`, if `Accept-Encoding` allows it")
    };
    let response = |description, status: StatusCode, content, headers| MetaResponse {
        description,
        status: Some(status.as_u16()),
        status_range: None,
        content,
        headers,
    };
    let content = vec![MetaMediaType { content_type, schema }];
    let fields = cache_fields().into_iter().chain([coding]).collect();
    let known = "The client has the current version, which `If-None-Match` names";
    MetaResponses {
        responses: vec![
            response(description, StatusCode::OK, content, fields),
            response(known, StatusCode::NOT_MODIFIED, Vec::new(), cache_fields()),
        ],
    }
}

/// The operations.
pub(in crate::api) struct DocsApi(Option<Lazy>);

/// The documents. The first request generates them, because most starts need none, and it takes longer than the rest of a
/// start.
struct Lazy {
    generate: Arc<dyn Fn() -> Documents + Send + Sync>,
    served: OnceCell<Served>,
}

struct Served {
    v3_0: EncodedDocument,
    v3_2: EncodedDocument,
    page: EncodedDocument,
}

impl Served {
    fn new(documents: &Documents) -> Self {
        Self {
            v3_0: EncodedDocument::new(JSON, documents.text(Version::V3_0)),
            v3_2: EncodedDocument::new(JSON, documents.text(Version::V3_2)),
            page: EncodedDocument::new(HTML, documents.page()),
        }
    }
}

impl DocsApi {
    pub(in crate::api) fn new(generate: impl Fn() -> Documents + Send + Sync + 'static) -> Self {
        Self(Some(Lazy { generate: Arc::new(generate), served: OnceCell::new() }))
    }

    /// Creates the operations without documents, for the service from which the documents are generated.
    pub(in crate::api) fn empty() -> Self {
        Self(None)
    }

    async fn served(&self) -> Result<&Served> {
        let lazy = self.0.as_ref().ok_or_else(|| Problem::internal("no documents"))?;
        let generate = || {
            let generate = Arc::clone(&lazy.generate);
            spawn_blocking(move || Served::new(&generate()))
        };
        lazy.served.get_or_try_init(generate).await.map_err(Problem::internal)
    }
}

#[OpenApi(tag = "Tag::Docs")]
impl DocsApi {
    /// Get OpenAPI 3.0
    ///
    /// Returns the OpenAPI 3.0 document, for client generators. Public.
    #[oai(path = "/openapi.json", method = "get", operation_id = "openapi_get")]
    async fn openapi(&self, _visitor: Visitor, request: &Request) -> MemoryResult<Json> {
        Ok(Json(self.served().await?.v3_0.respond(request.headers()).await?))
    }

    /// Get OpenAPI 3.2
    ///
    /// Returns the OpenAPI 3.2 document. It also has the type of every event of every stream (`itemSchema`). Public.
    #[oai(path = "/openapi-3.2.json", method = "get", operation_id = "openapi_3_2_get")]
    async fn openapi_3_2(&self, _visitor: Visitor, request: &Request) -> MemoryResult<Json> {
        Ok(Json(self.served().await?.v3_2.respond(request.headers()).await?))
    }

    /// Open Swagger UI
    ///
    /// Returns a page on which you can try the operations. The page loads nothing from other hosts. Public.
    #[oai(path = "/docs", method = "get", operation_id = "docs_get")]
    async fn docs(&self, _visitor: Visitor, request: &Request) -> MemoryResult<Html> {
        Ok(Html(self.served().await?.page.respond(request.headers()).await?))
    }
}
