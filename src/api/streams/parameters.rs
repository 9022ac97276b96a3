//! The parameters that every stream has, taken as one argument of its operation.

use std::{
    net::IpAddr, num::NonZeroU64, ops::RangeInclusive, str::FromStr, sync::Arc, time::Duration,
};

use poem::{Request, RequestBody, http::Method};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, Enum, ExtractParamOptions,
    param::{Header, Query},
    registry::{MetaParamIn, Registry},
    types::{ParseFromParameter, Type},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    api::{middleware::RequestInfo, problem::Problem},
    config,
    hub::{Bounds, Resume},
    limit::Admission,
};

/// What a refused caller of a stream wants to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
enum OnRefusal {
    /// A stream of one `error` event instead of a status.
    Event,
}

/// What is to happen when a subscriber is too slow for the events kept in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case", remote = "config::Overflow")]
enum Overflow {
    /// It gets what it missed from the event log, and loses nothing.
    CatchUp,
    /// It misses the oldest events that it has not got, and goes on with the newest.
    DropOldest,
    /// It gets what waited for it, misses what came after that, and goes on with what comes then.
    DropNew,
    /// The stream ends with `stream.closed` for the reason `overflow`.
    CloseConnection,
}

const MAX_EVENTS: RangeInclusive<u64> = 1..=1_000_000;
const MAX_SECONDS: RangeInclusive<u64> = 1..=86_400;

/// The parameters that every stream has.
pub(in crate::api) struct Parameters {
    /// The request's id.
    pub(in crate::api) request: Uuid,
    /// Where it came from.
    pub(in crate::api) address: IpAddr,
    /// The connection that it came on.
    pub(in crate::api) admission: Option<Arc<Admission>>,
    /// A HEAD: wants the answer's head and no stream.
    pub(in crate::api) is_head: bool,
    last_event_id: Option<String>,
    max_events: Option<u64>,
    max_seconds: Option<u64>,
    pub(in crate::api) overflow: Option<config::Overflow>,
}

impl Parameters {
    /// The cursor as the client gave it, if it did.
    pub(in crate::api) fn last_event_id(&self) -> Option<&str> {
        // By its full name: poem-openapi gives `&str` an `is_empty` that is never true.
        self.last_event_id.as_deref().filter(|text| !str::is_empty(text))
    }

    pub(in crate::api) fn bounds(&self) -> Bounds {
        Bounds {
            max_events: self.max_events.and_then(NonZeroU64::new),
            max_time: self.max_seconds.map(Duration::from_secs),
        }
    }

    pub(in crate::api) fn resume<C: FromStr>(&self) -> Resume<C> {
        match self.last_event_id() {
            None => Resume::Start,
            Some(text) => text.parse().map_or(Resume::Unreadable, Resume::After),
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
        let info: &RequestInfo = request.data().expect("the edge tells of the request");
        // The browser's header wins: it is newer than the URL, which does not change as it
        // reconnects.
        let header = Header::<Option<String>>::from_request(request, body, named("Last-Event-ID"));
        let last_event_id = match header.await?.0 {
            Some(cursor) => Some(cursor),
            None => query::<String>(request, body, "last_event_id").await?,
        };
        // Acted on around the operation, because it also covers refusals before this point.
        query::<OnRefusal>(request, body, "on_refusal").await?;
        Ok(Self {
            request: info.id,
            address: info.address,
            admission: info.origin.as_ref().map(|origin| Arc::clone(&origin.admission)),
            is_head: info.method == Method::HEAD,
            last_event_id,
            max_events: number(request, body, "max_events", MAX_EVENTS).await?,
            max_seconds: number(request, body, "max_seconds", MAX_SECONDS).await?,
            overflow: query::<Overflow>(request, body, "overflow").await?.map(Into::into),
        })
    }
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

/// Puts the schemas of the parameters among the others: the framework asks no argument like this one
/// for them.
pub(in crate::api) fn register_parameters(registry: &mut Registry) {
    Overflow::register(registry);
    OnRefusal::register(registry);
}

/// The same as the document lists them, for every stream.
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
            "The cursor to resume after, as browsers send it when they reconnect.",
            &text,
        ),
        parameter(
            MetaParamIn::Query,
            "last_event_id",
            "The same for clients that cannot send the header, which wins over it.",
            &text,
        ),
        parameter(
            MetaParamIn::Query,
            "max_events",
            "End the stream after this many events, the snapshot included.",
            &number(MAX_EVENTS),
        ),
        parameter(
            MetaParamIn::Query,
            "max_seconds",
            "End the stream after this many seconds.",
            &number(MAX_SECONDS),
        ),
        parameter(
            MetaParamIn::Query,
            "overflow",
            "What is to happen when the subscriber is too slow for the events kept in memory: \
             `catch_up` from the event log, without loss; `drop_oldest`, `drop_new`, with what is \
             missing announced in `stream.dropped`; or `close_connection`. The default is \
             configured.",
            &one_of(&Overflow::name()),
        ),
        parameter(
            MetaParamIn::Query,
            "on_refusal",
            "With `event`, a refusal is a 200 with one `error` event and a long `retry` instead of \
             a status that a browser's `EventSource` cannot read.",
            &one_of(&OnRefusal::name()),
        ),
    ]
}
