//! The OpenAPI documents and Swagger UI, as operations.

use std::sync::Arc;

use bytes::Bytes;
use poem::{IntoResponse, Response, http::header};
use poem_openapi::{
    ApiResponse, OpenApi,
    registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
    types::Type,
};

use super::{
    openapi::{Documents, Version},
    problem::{Problem, Result},
    tag::Tag,
};

/// A text that was rendered when the gateway started. All responses share the text.
struct Page {
    media_type: &'static str,
    text: Bytes,
}

/// The content security policy of Swagger UI. The page contains its scripts and loads nothing from other origins. The
/// browser enforces that with this policy.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                      img-src 'self' data:; font-src data:; connect-src 'self'; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

struct Json(Page);
struct Html(Page);

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        Response::builder().content_type(self.0.media_type).body(self.0.text)
    }
}

impl IntoResponse for Html {
    fn into_response(self) -> Response {
        Response::builder()
            .content_type(self.0.media_type)
            .header(header::CONTENT_SECURITY_POLICY, POLICY)
            .body(self.0.text)
    }
}

fn meta(
    description: &'static str,
    content_type: &'static str,
    schema: MetaSchemaRef,
) -> MetaResponses {
    MetaResponses {
        responses: vec![MetaResponse {
            description,
            status: Some(200),
            status_range: None,
            content: vec![MetaMediaType { content_type, schema }],
            headers: Vec::new(),
        }],
    }
}

impl ApiResponse for Json {
    fn meta() -> MetaResponses {
        let schema = MetaSchemaRef::Inline(Box::new(MetaSchema::new("object")));
        meta("The document", "application/json", schema)
    }

    fn register(_registry: &mut Registry) {}
}

impl ApiResponse for Html {
    fn meta() -> MetaResponses {
        meta("The page", "text/html; charset=utf-8", String::schema_ref())
    }

    fn register(_registry: &mut Registry) {}
}

/// The operations.
pub(super) struct DocsApi(Option<Arc<Documents>>);

impl DocsApi {
    pub(super) fn new(documents: Arc<Documents>) -> Self {
        Self(Some(documents))
    }

    /// Creates the operations without documents, for the service from which the documents are generated.
    pub(super) fn empty() -> Self {
        Self(None)
    }

    fn page(&self, media_type: &'static str, text: impl Fn(&Documents) -> Bytes) -> Result<Page> {
        let documents = self.0.as_deref().ok_or_else(|| Problem::internal("no documents"))?;
        Ok(Page { media_type, text: text(documents) })
    }
}

#[OpenApi(tag = "Tag::Docs")]
impl DocsApi {
    /// Get OpenAPI 3.0
    ///
    /// Returns the OpenAPI 3.0 document, for client generators. Public.
    #[oai(path = "/openapi.json", method = "get", operation_id = "openapi_get")]
    async fn openapi(&self) -> Result<Json> {
        self.page("application/json", |documents| documents.text(Version::V3_0)).map(Json)
    }

    /// Get OpenAPI 3.2
    ///
    /// Returns the OpenAPI 3.2 document. It also has the type of every event of every stream (`itemSchema`). Public.
    #[oai(path = "/openapi-3.2.json", method = "get", operation_id = "openapi_3_2_get")]
    async fn openapi_3_2(&self) -> Result<Json> {
        self.page("application/json", |documents| documents.text(Version::V3_2)).map(Json)
    }

    /// Open Swagger UI
    ///
    /// Returns a page on which you can try the operations. The page loads nothing from other hosts. Public.
    #[oai(path = "/docs", method = "get", operation_id = "docs_get")]
    async fn docs(&self) -> Result<Html> {
        self.page("text/html; charset=utf-8", Documents::page).map(Html)
    }
}
