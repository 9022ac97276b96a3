//! The parameters of every stream, as one argument of its operation.

use std::{
    net::IpAddr, num::NonZeroU64, ops::RangeInclusive, str::FromStr, sync::Arc, time::Duration,
};

use poem::{
    Request, RequestBody,
    http::{HeaderValue, Method},
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, Enum, ExtractParamOptions,
    param::Query,
    registry::{MetaParamIn, Registry},
    types::{ParseFromParameter, Type},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    api::{middleware::RequestInfo, problem::Problem},
    config,
    hub::{Bounds, Resume},
    limit::ConnectionPermit,
    telemetry::CallerIds,
};

/// The form in which the client wants a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
enum OnRefusal {
    /// A stream with one `error` event instead of an error status.
    Event,
}

/// Strategy for a client that is so slow that its next event is no longer in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case", remote = "config::Overflow")]
enum Overflow {
    /// The client gets the missed events from the event log and loses nothing.
    CatchUp,
    /// The client loses the missed events that are no longer in memory, and continues with the others.
    DropOldest,
    /// The client gets the events that were in memory, loses the events after them, and then continues with the newest.
    DropNew,
    /// The stream ends with `stream.closed` and the reason `overflow`.
    CloseConnection,
}

const MAX_EVENTS: RangeInclusive<u64> = 1..=1_000_000;
const MAX_SECONDS: RangeInclusive<u64> = 1..=86_400;

/// The parameters of every stream.
pub(in crate::api) struct Parameters {
    /// The request's id.
    pub(in crate::api) request: Uuid,
    /// The ids that the caller gave to the request.
    pub(in crate::api) caller_ids: Arc<CallerIds>,
    /// The address of the client.
    pub(in crate::api) address: IpAddr,
    /// The connection of the request.
    pub(in crate::api) permit: Option<Arc<ConnectionPermit>>,
    /// Whether this is a HEAD request. Its response has no body, so no stream is opened.
    pub(in crate::api) is_head: bool,
    last_event_id: Option<String>,
    max_events: Option<u64>,
    max_seconds: Option<u64>,
    pub(in crate::api) overflow: Option<config::Overflow>,
}

impl Parameters {
    pub(in crate::api) fn bounds(&self) -> Bounds {
        Bounds {
            max_events: self.max_events.and_then(NonZeroU64::new),
            max_time: self.max_seconds.map(Duration::from_secs),
        }
    }

    pub(in crate::api) fn resume<C: FromStr>(&self) -> Resume<C> {
        match &self.last_event_id {
            None => Resume::Start,
            Some(text) => text.parse().map_or(Resume::Invalid, Resume::After),
        }
    }
}

impl<'a> ApiExtractor<'a> for Parameters {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::PoemExtractor];
    type ParamType = ();
    type ParamRawType = ();

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let info: &RequestInfo = request.data().expect("the middleware sets the request info");
        // Only checks the value. The middleware uses it, because requests can be refused before this point.
        query::<OnRefusal>(request, body, "on_refusal").await?;
        Ok(Self {
            request: info.id,
            caller_ids: Arc::clone(&info.caller_ids),
            address: info.address,
            permit: info
                .client_connection
                .as_ref()
                .map(|client_connection| Arc::clone(&client_connection.permit)),
            is_head: info.method == Method::HEAD,
            last_event_id: last_event_id(request)?,
            max_events: number(request, body, "max_events", MAX_EVENTS).await?,
            max_seconds: number(request, body, "max_seconds", MAX_SECONDS).await?,
            overflow: query::<Overflow>(request, body, "overflow").await?.map(Into::into),
        })
    }
}

/// The cursor that the client sent, as text. `None` without a cursor. The text can be anything, and a stream that
/// cannot resume after it starts over with a `reset` reason.
///
/// The header has priority, because a browser that reconnects updates the header, and not the URL.
fn last_event_id(request: &Request) -> poem::Result<Option<String>> {
    // Bytes that are not ASCII are kept, because without them the header would count as absent.
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let header = request.headers().get_all("Last-Event-ID").iter().map(text);
    let parameters: Vec<(String, String)> = request.params()?;
    let parameter = parameters.into_iter().filter(|(name, _)| name == "last_event_id");
    Ok(only_value(header).or_else(|| only_value(parameter.map(|(_, value)| value))))
}

/// The value that is not empty. Several values become one text, as in RFC 9110, section 5.3. That text is not a cursor.
fn only_value(values: impl Iterator<Item = String>) -> Option<String> {
    let values: Vec<String> = values.filter(|value| !value.is_empty()).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

fn named<T>(name: &'static str) -> ExtractParamOptions<T> {
    ExtractParamOptions {
        name,
        default_value: None,
        example_value: None,
        explode: true,
        style: None,
        ignore_case: false,
    }
}

async fn query<T: ParseFromParameter>(
    request: &Request,
    body: &mut RequestBody,
    name: &'static str,
) -> poem::Result<Option<T>> {
    Ok(Query::<Option<T>>::from_request(request, body, named(name)).await?.0)
}

async fn number(
    request: &Request,
    body: &mut RequestBody,
    name: &'static str,
    range: RangeInclusive<u64>,
) -> poem::Result<Option<u64>> {
    let number = query(request, body, name).await?;
    if number.is_some_and(|number| !range.contains(&number)) {
        let (from, to) = (range.start(), range.end());
        let detail = format!("parameter {name}: must be from {from} to {to}");
        return Err(Problem::bad_request(detail).into());
    }
    Ok(number)
}

/// Registers the schemas of the parameters. poem-openapi does not register them for an argument of this type.
pub(in crate::api) fn register_parameters(registry: &mut Registry) {
    Overflow::register(registry);
    OnRefusal::register(registry);
}

/// The parameters as the OpenAPI document lists them.
pub(in crate::api) fn documented_parameters() -> Vec<Value> {
    let parameter = |place: MetaParamIn, name: &str, description: &str, schema: &Value| {
        json!({
            "name": name,
            "in": place,
            "description": description,
            "schema": schema,
            "required": false,
            "deprecated": false,
            "explode": true,
        })
    };
    let text = json!({ "type": "string" });
    let number = |range: RangeInclusive<u64>| {
        let (least, most) = range.into_inner();
        json!({ "type": "integer", "format": "uint64", "minimum": least, "maximum": most })
    };
    let one_of = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    vec![
        parameter(
            MetaParamIn::Header,
            "Last-Event-ID",
            "Cursor to resume after. Browsers send this header when they reconnect. An empty header counts as none. \
             If the stream cannot resume, it starts with a snapshot that has a `reset` reason.",
            &text,
        ),
        parameter(
            MetaParamIn::Query,
            "last_event_id",
            "Cursor to resume after, for clients that cannot send the header `Last-Event-ID`. If both are sent, \
             the header has priority.",
            &text,
        ),
        parameter(
            MetaParamIn::Query,
            "max_events",
            "Number of events after which the stream ends, the snapshot included, from 1 to 1,000,000. \
             Without it, there is no limit.",
            &number(MAX_EVENTS),
        ),
        parameter(
            MetaParamIn::Query,
            "max_seconds",
            "Time after which the stream ends, in seconds, from 1 to 86,400. Without it, there is no limit.",
            &number(MAX_SECONDS),
        ),
        parameter(
            MetaParamIn::Query,
            "overflow",
            "Strategy for a client that is so slow that its next event is no longer in memory. `catch_up` reads \
             the missed events from the event log, without loss. `drop_oldest` continues with the newest \
             events. `drop_new` first sends the events that were in memory, then continues with the newest. \
             Both announce dropped events in `stream.dropped`. `close_connection` ends the stream. The default \
             is `overflow.<family>` of the configuration.",
            &one_of(&Overflow::name()),
        ),
        parameter(
            MetaParamIn::Query,
            "on_refusal",
            "With `event`, the response to a refused request has the status 200, one `error` event and a \
             long `retry`. A browser's `EventSource` cannot read the body of an error status.",
            &one_of(&OnRefusal::name()),
        ),
    ]
}
