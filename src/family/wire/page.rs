//! One page of a list.

use poem_openapi::{
    Object,
    types::{ParseFromJSON, ToJSON},
};
use uuid::Uuid;

/// Maximum size of the stored JSON on one page, in bytes. Parsing and writing it needs many times as much memory.
pub const PAGE_BYTES: usize = 1 << 20;

/// Default number of items on a page.
const DEFAULT_LIMIT: u64 = 50;

/// One page of a list.
#[derive(Object)]
#[oai(skip_serializing_if_is_none)]
pub struct Page<T: ParseFromJSON + ToJSON + Send + Sync> {
    /// The items of this page, in the order of the list. There can be fewer items than requested, even if there is a
    /// next page.
    pub items: Vec<T>,
    /// The value to send as `after` for the next page. Absent on the last page.
    pub next: Option<Uuid>,
}

impl<T: ParseFromJSON + ToJSON + Send + Sync> Page<T> {
    /// Creates a page of the first `limit` rows, or of fewer rows if their JSON is large. `rows` has one row more than
    /// `limit` if there is a next page. `measure` returns the id of a row and the size of its stored JSON in bytes.
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

/// Number of rows that fit on a page, at least 1. `sizes` are the sizes of the rows in bytes, in order.
fn fitting(sizes: impl Iterator<Item = usize>) -> usize {
    let mut total = 0;
    let fit = sizes.take_while(|size| {
        total += size;
        total <= PAGE_BYTES
    });
    fit.count().max(1)
}

/// Maximum number of items on a page: the requested number, or 50. The validator of the parameter has checked the
/// range.
#[must_use]
pub fn page_limit(requested: Option<u64>) -> u64 {
    requested.unwrap_or(DEFAULT_LIMIT)
}
