//! The URL under which clients reach the gateway.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use url::Url;

/// The base URL of the gateway for its clients: absolute, without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicUrl(String);

/// The error does not contain the text, which may hold a password.
const RULE: &str = "must be an absolute URL such as `https://example.com` or `https://example.com/gate`, \
                    without a user, a query or a fragment";

impl PublicUrl {
    /// The origin of the URL, as browsers write it in `Origin` (RFC 6454, section 6.2).
    #[must_use]
    pub fn origin(&self) -> String {
        Url::parse(&self.0).map(|url| url.origin().ascii_serialization()).unwrap_or_default()
    }

    /// The path of the URL, without a slash at its end. Empty if it has none.
    #[must_use]
    pub fn path(&self) -> &str {
        let after_scheme = self.0.find("://").map_or(0, |at| at + 3);
        let rest = &self.0[after_scheme..];
        rest.find('/').map_or("", |at| &rest[at..])
    }

    /// Whether clients reach the gateway by HTTPS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https:")
    }
}

impl FromStr for PublicUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // `Url` accepts some texts that are no URLs, as browsers do, and corrects them.
        let strange = |c: char| c.is_whitespace() || c.is_control() || c == '\\';
        let (scheme, rest) = text.split_once("://").ok_or(RULE)?;
        let is_http = ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if !is_http || text.contains(strange) || authority.is_empty() || authority.contains('@') {
            return Err(RULE);
        }
        let url = Url::parse(text).map_err(|_| RULE)?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(RULE);
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }
}

impl TryFrom<String> for PublicUrl {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PublicUrl> for String {
    fn from(url: PublicUrl) -> Self {
        url.0
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}
