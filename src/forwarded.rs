//! Finds the client of a request that came through proxies, from `Forwarded` (RFC 7239), `X-Forwarded-For` and
//! `X-Forwarded-Proto`.
//!
//! Any client can send these fields, so only entries that trusted proxies wrote are used. Each proxy appends the
//! address of its own peer. The list is read from right to left. The peer of this gateway wrote the last entry. The
//! proxy in the last entry wrote the entry before it, and so on. The first address that is not a trusted proxy is the
//! client. Entries to the left of it may be forged. An entry that is not an address (`unknown`, `_hidden`, an invalid
//! text) ends the search, and the proxy that wrote it counts as the client.
//!
//! A proxy that sets one of `Forwarded` and `X-Forwarded-For` often forwards the other field unchanged from the client.
//! So neither field takes precedence: if both are present, they must name the same client.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;

/// Scheme of the connection between the client and the first trusted proxy, or this gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

/// The client of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// IP address of the client. An IPv4 address that is mapped into IPv6 is converted to IPv4.
    pub address: IpAddr,
    /// Scheme of the URL that the client requested.
    pub scheme: Scheme,
}

/// The fields of a request. The lines of each field are in the order of the request. If a line is not text, put an
/// invalid entry in its place. Without it, the previous line would count as written by the peer.
#[derive(Clone, Debug, Default)]
pub struct Fields<'a> {
    /// Lines of `Forwarded`.
    pub forwarded: Vec<&'a str>,
    /// Lines of `X-Forwarded-For`.
    pub forwarded_for: Vec<&'a str>,
    /// Lines of `X-Forwarded-Proto`.
    pub forwarded_proto: Vec<&'a str>,
}

/// `Forwarded` and `X-Forwarded-For` name different clients, so a proxy did not write one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Forwarded and X-Forwarded-For name different clients")]
pub struct ConflictingClients;

/// Finds the client of a request that came from `peer` with `scheme`. Without a trusted proxy, the client is the peer.
pub fn client(
    peer: IpAddr,
    scheme: Scheme,
    trusted: &[IpNet],
    fields: &Fields<'_>,
) -> Result<Client, ConflictingClients> {
    let peer = peer.to_canonical();
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    if !is_trusted(peer) {
        return Ok(Client { address: peer, scheme });
    }
    let client_of = |hops: Vec<Hop>| {
        let (mut address, mut proto) = (peer, None);
        for hop in hops.into_iter().rev() {
            proto = hop.proto;
            let Some(node) = hop.node else { break };
            address = node;
            if !is_trusted(node) {
                break;
            }
        }
        (address, proto)
    };
    let from_forwarded = list(&fields.forwarded, elements).map(client_of);
    let from_x_forwarded_for = list(&fields.forwarded_for, |line| {
        // Quotes have no meaning in this field, so an open quote must not hide the entries after it.
        let entries = line.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        entries.map(|entry| Hop { node: node(entry), proto: None }).collect()
    })
    .map(client_of);
    // The peer wrote the last entry.
    let last = fields.forwarded_proto.last().and_then(|line| line.rsplit(',').next());
    let x_forwarded_proto = last.and_then(proto);
    let (address, proto) = match (from_forwarded, from_x_forwarded_for) {
        (Some((one, _)), Some((other, _))) if one != other => return Err(ConflictingClients),
        (Some(found), _) | (None, Some(found)) => found,
        (None, None) => (peer, None),
    };
    Ok(Client { address, scheme: proto.or(x_forwarded_proto).unwrap_or(scheme) })
}

/// The entry that one proxy wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hop {
    /// Address of the proxy's peer. Absent if it is hidden or is not an address.
    node: Option<IpAddr>,
    /// Scheme of the request to the proxy. Absent if it is unknown.
    proto: Option<Scheme>,
}

/// The entries of all lines. `None` if the field is absent. Each line is parsed alone, so that an open quote of the
/// client cannot hide entries that a proxy wrote on another line.
fn list(lines: &[&str], entries: impl Fn(&str) -> Vec<Hop>) -> Option<Vec<Hop>> {
    (!lines.is_empty()).then(|| lines.iter().flat_map(|line| entries(line)).collect())
}

/// Parses the elements of a line of `Forwarded` (RFC 7239, section 4).
fn elements(line: &str) -> Vec<Hop> {
    split(line, ',')
        .map(|element| pairs(element).unwrap_or(Hop { node: None, proto: None }))
        .collect()
}

/// Parses the pairs of one element. `None` if the syntax is not valid.
fn pairs(element: &str) -> Option<Hop> {
    let mut hop = Hop { node: None, proto: None };
    let mut is_named = false;
    for pair in split(element, ';') {
        let (name, value) = pair.split_once('=')?;
        let value = unquoted(value.trim())?;
        if name.trim().eq_ignore_ascii_case("for") {
            // A second `for`: it is unknown which of them the proxy wrote.
            if std::mem::replace(&mut is_named, true) {
                return None;
            }
            hop.node = node(&value);
        } else if name.trim().eq_ignore_ascii_case("proto") {
            hop.proto = proto(&value);
        }
    }
    Some(hop)
}

/// Splits at separators outside quotes, and removes empty parts (RFC 9110, section 5.6.1). A quote that is not closed
/// extends to the end of the text.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let parts = text.split(move |letter| {
        if is_escaped {
            is_escaped = false;
        } else if is_quoted && letter == '\\' {
            is_escaped = true;
        } else if letter == '"' {
            is_quoted = !is_quoted;
        }
        letter == separator && !is_quoted
    });
    parts.map(str::trim).filter(|part| !part.is_empty())
}

/// The value of a token or of a quoted string (RFC 9110, sections 5.6.2 and 5.6.4). `None` if the quotes are not valid.
fn unquoted(value: &str) -> Option<String> {
    let Some(quoted) = value.strip_prefix('"') else {
        return (!value.contains('"')).then(|| value.to_owned());
    };
    let mut text = String::new();
    let mut letters = quoted.chars();
    loop {
        match letters.next()? {
            '"' => break,
            '\\' => text.push(letters.next()?),
            letter => text.push(letter),
        }
    }
    letters.as_str().is_empty().then_some(text)
}

/// The address of a node, with or without a port: `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]`,
/// `[2001:db8::1]:4711`. `None` for `unknown`, `_hidden` and any other text.
fn node(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    if let Some(text) = text.strip_prefix('[') {
        let (address, rest) = text.split_once(']')?;
        let is_whole = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
        let address = address.parse::<Ipv6Addr>().ok().filter(|_| is_whole)?;
        return Some(IpAddr::V6(address).to_canonical());
    }
    let (address, port) = text.split_once(':')?;
    address.parse::<Ipv4Addr>().ok().filter(|_| is_port(port)).map(IpAddr::V4)
}

/// Whether the text is a port number or an obfuscated port (RFC 7239, section 6).
fn is_port(text: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match text.strip_prefix('_') {
        Some(name) => !name.is_empty() && name.bytes().all(is_name),
        None => text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok(),
    }
}

fn proto(text: &str) -> Option<Scheme> {
    match text.trim() {
        text if text.eq_ignore_ascii_case("http") => Some(Scheme::Http),
        text if text.eq_ignore_ascii_case("https") => Some(Scheme::Https),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
