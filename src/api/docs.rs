//! The OpenAPI documents and the page to try them out, as operations.

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

/// A text that was made at the start, shared by all who ask for it.
struct Page {
    media_type: &'static str,
    text: Bytes,
}

/// The page to try operations out has its scripts inside and loads nothing from elsewhere; this
/// makes the browser hold it to that.
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

    /// Without documents, to make them from.
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
    /// This interface as OpenAPI 3.0
    ///
    /// What client generators understand. Public.
    #[oai(path = "/openapi.json", method = "get", operation_id = "docs_openapi")]
    async fn openapi(&self) -> Result<Json> {
        self.page("application/json", |documents| documents.text(Version::V3_0)).map(Json)
    }

    /// This interface as OpenAPI 3.2
    ///
    /// With the type of every event of every stream (`itemSchema`). Public.
    #[oai(path = "/openapi-3.2.json", method = "get", operation_id = "docs_openapi_3_2")]
    async fn openapi_3_2(&self) -> Result<Json> {
        self.page("application/json", |documents| documents.text(Version::V3_2)).map(Json)
    }

    /// A page to try this interface out
    ///
    /// Swagger UI, everything inside. Public.
    #[oai(path = "/docs", method = "get", operation_id = "docs_page")]
    async fn docs(&self) -> Result<Html> {
        self.page("text/html; charset=utf-8", Documents::page).map(Html)
    }
}
