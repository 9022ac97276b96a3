//! The response with the metrics, in the format that the client accepts.

use poem::{IntoResponse, Response, web::Accept};
use poem_openapi::{
    ApiResponse,
    registry::{MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::Type,
};

use crate::telemetry::MetricsFormat;

/// All metrics.
pub(super) struct Metrics {
    pub(super) format: MetricsFormat,
    pub(super) text: String,
}

impl IntoResponse for Metrics {
    fn into_response(self) -> Response {
        Response::builder().content_type(self.format.content_type()).body(self.text)
    }
}

impl ApiResponse for Metrics {
    fn meta() -> MetaResponses {
        let content = ["text/plain", "application/openmetrics-text"];
        let content = content
            .map(|content_type| MetaMediaType { content_type, schema: String::schema_ref() });
        MetaResponses {
            responses: vec![MetaResponse {
                description: "All metrics: in the Prometheus text format 0.0.4, or as OpenMetrics 1.0 if \
                              `Accept` prefers that",
                status: Some(200),
                status_range: None,
                content: content.into(),
                headers: Vec::new(),
            }],
        }
    }

    fn register(_registry: &mut Registry) {}
}

/// The format that a client accepts (RFC 9110, section 12.5.1): OpenMetrics if the client prefers it, else the
/// Prometheus text format, which every tool can read.
pub(super) fn negotiate(accept: &Accept) -> MetricsFormat {
    let open_metrics = preference(accept, "application", "openmetrics-text", "1.0.0");
    let prometheus = preference(accept, "text", "plain", "0.0.4");
    match open_metrics {
        Some((quality, _)) if quality > 0.0 && open_metrics > prometheus => {
            MetricsFormat::OpenMetrics
        }
        _ => MetricsFormat::Prometheus,
    }
}

/// The quality of a media type, and how exactly the client names it: from 0 for `*/*` to 3 for type and version. `None`
/// if the client does not name it. The most exact name counts.
fn preference(
    Accept(ranges): &Accept,
    kind: &str,
    subtype: &str,
    version: &str,
) -> Option<(f32, u8)> {
    let matches = ranges.iter().filter_map(|range| {
        let exactness = match (range.type_().as_str(), range.subtype().as_str()) {
            ("*", "*") => 0,
            (named, "*") if named == kind => 1,
            named if named == (kind, subtype) => match range.get_param("version") {
                None => 2,
                Some(named) if named == version => 3,
                Some(_) => return None,
            },
            _ => return None,
        };
        let quality = range.get_param("q").map_or(Ok(1.0), |quality| quality.as_str().parse());
        Some((quality.ok()?, exactness))
    });
    matches.max_by_key(|(_, exactness)| *exactness)
}

#[cfg(test)]
mod tests {
    use poem::{FromRequest, Request};

    use super::*;

    #[tokio::test]
    async fn format_is_the_one_that_the_client_prefers() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0;q=0.5,\
            application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let prometheus_3 = "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,\
            text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, open_metrics) in [
            ("", false),
            ("*/*", false),
            ("application/json", false),
            ("text/plain", false),
            ("text/plain;version=0.0.4;q=0.5, */*;q=0.1", false),
            ("text/*, application/openmetrics-text;q=0.9", false),
            ("application/openmetrics-text;q=0", false),
            ("application/openmetrics-text;q=0, */*", false),
            ("application/openmetrics-text;version=0.0.1", false),
            ("application/openmetrics-text;q=x, text/plain;q=0.1", false),
            (prometheus_3, false),
            (prometheus_2, true),
            ("application/openmetrics-text", true),
            ("application/openmetrics-text, */*", true),
            ("Application/OpenMetrics-Text; version=\"1.0.0\"", true),
            ("text/plain;q=0.5, application/openmetrics-text;q=0.9", true),
            ("text/plain;q=0, */*", true),
        ] {
            let request = Request::builder().header("Accept", accept).finish();
            let accept = Accept::from_request_without_body(&request).await.expect("an extractor");
            let expected =
                if open_metrics { MetricsFormat::OpenMetrics } else { MetricsFormat::Prometheus };
            assert_eq!(negotiate(&accept), expected, "{accept:?}");
        }
    }
}
