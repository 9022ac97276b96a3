//! One page of a list.

use poem_openapi::{
    Object,
    types::{ParseFromJSON, ToJSON},
};
use uuid::Uuid;

/// Bytes of stored JSON on one page, at most. Parsed and written again, they take many times as much
/// memory.
pub const PAGE_BYTES: usize = 1 << 20;

/// Items of a page if the request names no number.
const DEFAULT_LIMIT: u64 = 50;

/// One page of a list.
#[derive(Object)]
#[oai(skip_serializing_if_is_none)]
pub struct Page<T: ParseFromJSON + ToJSON + Send + Sync> {
    /// The items of this page, in the order of the list.
    pub items: Vec<T>,
    /// The value to send as `after` for the next page. Absent on the last page.
    pub next: Option<Uuid>,
}

impl<T: ParseFromJSON + ToJSON + Send + Sync> Page<T> {
    /// The first `limit` rows, or fewer if their JSON is large. `rows` holds one row more than `limit` if
    /// there is a next page. `measure` returns a row's id and its bytes of stored JSON.
    pub fn new<R: Into<T>>(
        mut rows: Vec<R>,
        limit: u64,
        measure: impl Fn(&R) -> (Uuid, usize),
    ) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let fit = fitting(rows.iter().map(|row| measure(row).1)).min(limit);
        let more = rows.len() > fit;
        rows.truncate(fit);
        let next = if more { rows.last().map(|row| measure(row).0) } else { None };
        Self { items: rows.into_iter().map(Into::into).collect(), next }
    }
}

/// The number of first rows, at least one, that fit on a page by their sizes in bytes.
fn fitting(sizes: impl Iterator<Item = usize>) -> usize {
    let mut total = 0;
    let fit = sizes.take_while(|size| {
        total += size;
        total <= PAGE_BYTES
    });
    fit.count().max(1)
}

/// Items of a page: the number that the request asks for, else 50. The parameter's validator has checked
/// the range.
#[must_use]
pub fn page_limit(requested: Option<u64>) -> u64 {
    requested.unwrap_or(DEFAULT_LIMIT)
}
