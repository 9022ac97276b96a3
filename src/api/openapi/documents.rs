//! The OpenAPI documents: the document of poem-openapi, completed, in two versions.
//!
//! Many generators read only version 3.0, in which an event has no type. Version 3.2 can describe the events of a
//! stream (`itemSchema`): the kind of each event and the type of its data.

use bytes::Bytes;
use poem_openapi::{OpenApi, OpenApiService};
use serde_json::{Value, json};

use super::{complete::complete, differences};
use crate::{config::PublicUrl, json};

/// The server of a document without a public URL: the folder that the document is in. So a client that reads the
/// document below a path prefix calls the operations there. The committed documents have it too.
const RELATIVE: &str = ".";

/// The version of an OpenAPI document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// OpenAPI 3.0, for generators.
    V3_0,
    /// OpenAPI 3.2, with typed events.
    V3_2,
}

/// Both documents, and the Swagger UI page.
pub struct Documents {
    /// The texts of both documents, as in the folder `openapi/`. All responses share these texts, so a client with a
    /// hundred unread responses does not cause a hundred copies.
    texts: [Bytes; 2],
    page: Bytes,
}

impl Documents {
    pub(in crate::api) fn new<A: OpenApi>(
        service: &OpenApiService<A, ()>,
        public_url: Option<&PublicUrl>,
    ) -> Self {
        let spec = service.spec();
        let mut document: Value = serde_json::from_str(&spec).expect("poem-openapi writes JSON");
        complete(&mut document);
        let server = public_url.map_or_else(|| RELATIVE.to_owned(), PublicUrl::to_string);
        document["servers"] = json!([{ "url": server }]);
        let v3_0 = without_embedded(&differences::v3_0(document.clone()));
        let v3_2 = without_embedded(&differences::v3_2(document));
        let page = service.swagger_ui_html().replace(&spec, &v3_0.to_string());
        let texts = [&v3_0, &v3_2].map(|document| format!("{document:#}\n").into());
        Self { texts, page: page.into() }
    }

    /// The document as text.
    #[must_use]
    pub fn text(&self, version: Version) -> Bytes {
        match version {
            Version::V3_0 => self.texts[0].clone(),
            Version::V3_2 => self.texts[1].clone(),
        }
    }

    /// The page of Swagger UI, which contains the 3.0 document.
    pub(in crate::api) fn page(&self) -> Bytes {
        self.page.clone()
    }
}

/// The document with its embedded texts as values. Examples of relayed JSON are embedded.
fn without_embedded(document: &Value) -> Value {
    serde_json::from_str(&json::text(document)).expect("a document is JSON")
}
