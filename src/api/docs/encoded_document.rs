//! A document in each content coding, with the fields that let clients keep it.
//!
//! The first request for a coding prepares it, once. The gateway keeps it, and all responses share the bytes. A
//! preparation at the start would make each start slower by half a second of CPU, even if nobody reads the documents.

use std::io::Write;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use brotli::enc::BrotliEncoderParams;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use poem::{
    Body, Response,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    web::headers::{ETag, HeaderMapExt, IfNoneMatch},
};
use tokio::{sync::OnceCell, task::spawn_blocking};

use super::accept_encoding::Coding;
use crate::api::problem::{Problem, Result};

/// Higher levels take 4 to 50 times as long for a text that is 3 to 10 % smaller.
const BROTLI_QUALITY: i32 = 5;

/// A document in each content coding.
pub(super) struct EncodedDocument {
    media_type: &'static str,
    text: Bytes,
    /// A hash of the text.
    tag: String,
    gzip: OnceCell<Bytes>,
    brotli: OnceCell<Bytes>,
}

impl EncodedDocument {
    pub(super) fn new(media_type: &'static str, text: Bytes) -> Self {
        let hash = digest(&SHA256, &text);
        let tag = URL_SAFE_NO_PAD.encode(&hash.as_ref()[..12]);
        Self { media_type, text, tag, gzip: OnceCell::new(), brotli: OnceCell::new() }
    }

    /// The response to a request with these headers: the document, or 304 if the client has it.
    pub(super) async fn respond(&self, request: &HeaderMap) -> Result<Response> {
        let coding = Coding::preferred(request);
        let tag = self.entity_tag(coding)?;
        let mut response = Response::default();
        let fields = response.headers_mut();
        // A client keeps the document, and asks each time whether it is current. So an upgrade is seen at once.
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, no-cache"));
        fields.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        fields.typed_insert(tag.clone());
        let known = request.typed_get::<IfNoneMatch>();
        if known.is_some_and(|known| !known.precondition_passes(&tag)) {
            response.set_status(StatusCode::NOT_MODIFIED);
            return Ok(response);
        }
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        if coding != Coding::Identity {
            fields.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
        }
        response.set_body(Body::from_bytes(self.bytes(coding).await?));
        Ok(response)
    }

    /// The strong validator of the document in this coding. A strong validator names one sequence of bytes (RFC 9110,
    /// section 8.8.3.3).
    fn entity_tag(&self, coding: Coding) -> Result<ETag> {
        format!("\"{}-{}\"", self.tag, coding.name()).parse().map_err(Problem::internal)
    }

    async fn bytes(&self, coding: Coding) -> Result<Bytes> {
        match coding {
            Coding::Identity => Ok(self.text.clone()),
            Coding::Gzip => self.prepare_once(&self.gzip, to_gzip).await,
            Coding::Brotli => self.prepare_once(&self.brotli, to_brotli).await,
        }
    }

    async fn prepare_once(
        &self,
        bytes: &OnceCell<Bytes>,
        encode: fn(&[u8]) -> Vec<u8>,
    ) -> Result<Bytes> {
        let text = self.text.clone();
        let prepare = async || spawn_blocking(move || encode(&text).into()).await;
        bytes.get_or_try_init(prepare).await.cloned().map_err(Problem::internal)
    }
}

fn to_gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).and_then(|()| encoder.finish()).expect("memory takes every byte")
}

fn to_brotli(mut text: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    let parameters = BrotliEncoderParams {
        quality: BROTLI_QUALITY,
        size_hint: text.len(),
        ..BrotliEncoderParams::default()
    };
    brotli::BrotliCompress(&mut text, &mut encoded, &parameters).expect("memory takes every byte");
    encoded
}
