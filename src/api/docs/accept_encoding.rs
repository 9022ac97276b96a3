//! The content coding of a response (RFC 9110, section 12.5.3).

use poem::http::{HeaderMap, header};

/// A content coding that the gateway has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Identity,
    Gzip,
    Brotli,
}

impl Coding {
    /// The name in `Accept-Encoding` and in `Content-Encoding`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Brotli => "br",
        }
    }

    /// The coding with the highest weight. Among equal weights, the smallest response.
    pub(super) fn preferred(headers: &HeaderMap) -> Self {
        let listed = Listed::new(headers);
        // `max_by_key` returns the last of several maxima.
        let best = [Self::Identity, Self::Gzip, Self::Brotli]
            .into_iter()
            .map(|coding| (listed.weight(coding), coding))
            .max_by_key(|(weight, _)| *weight);
        match best {
            Some((weight, coding)) if weight > 0 => coding,
            // The client accepts nothing that the gateway has. A client that refuses only `identity` wants a coding,
            // so it gets the one that every client knows. For any other client, the header is disregarded, as RFC
            // 9110 section 12.1 allows.
            _ if listed.find(Self::Gzip).is_none() => Self::Gzip,
            _ => Self::Identity,
        }
    }
}

/// The codings of the header, in lower case, with their weights in thousandths.
struct Listed(Vec<(String, u16)>);

impl Listed {
    fn new(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(header::ACCEPT_ENCODING).iter();
        let entries = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
        Self(entries.filter_map(entry).collect())
    }

    fn weight(&self, coding: Coding) -> u16 {
        // Without an entry, only `identity` is acceptable. Any listed coding is then better.
        let absent = u16::from(coding == Coding::Identity);
        self.find(coding).unwrap_or(absent)
    }

    fn find(&self, coding: Coding) -> Option<u16> {
        let named = |wanted: &str| self.0.iter().find(|(name, _)| name == wanted);
        named(coding.name()).or_else(|| named("*")).map(|(_, weight)| *weight)
    }
}

/// Parses one entry: a coding and its weight. An entry with a weight that is not valid does not count.
fn entry(text: &str) -> Option<(String, u16)> {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next()?.to_ascii_lowercase();
    // RFC 9110, section 8.4.1.3
    let name = if name == "x-gzip" { Coding::Gzip.name().to_owned() } else { name };
    let Some(weight) = parts.next() else { return Some((name, 1000)) };
    let weight = weight.strip_prefix("q=").or_else(|| weight.strip_prefix("Q="))?;
    thousandths(weight).map(|weight| (name, weight))
}

/// Parses a weight from 0 to 1 with at most three decimals.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if !decimals.bytes().all(|digit| digit.is_ascii_digit()) || decimals.len() > 3 {
        return None;
    }
    let decimals: u16 = format!("{decimals:0<3}").parse().ok()?;
    match (whole, decimals) {
        ("0", decimals) => Some(decimals),
        ("1", 0) => Some(1000),
        _ => None,
    }
}
