//! The rows are requests from a trusted proxy (10.0.0.1), except where a test names another peer.

use super::*;

fn trusted() -> Vec<IpNet> {
    ["10.0.0.0/8", "2001:db8:aa::/48"].map(|network| network.parse().expect("a network")).into()
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn found(peer: &str, fields: &Fields<'_>) -> Result<(String, Scheme), ConflictingClients> {
    client(ip(peer), Scheme::Http, &trusted(), fields)
        .map(|client| (client.address.to_string(), client.scheme))
}

#[test]
fn nodes_are_addresses_with_or_without_a_port() {
    for (text, address) in [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("192.0.2.1:_port", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:1", "192.0.2.1"),
    ] {
        assert_eq!(node(text), Some(ip(address)), "{text}");
    }
    for text in [
        "",
        "unknown",
        "_hidden",
        "localhost",
        "192.0.2",
        "192.0.2.256",
        "010.0.0.1",
        "192.0.2.1:",
        "192.0.2.1:x",
        "192.0.2.1:65536",
        "192.0.2.1:+1",
        "192.0.2.1:_",
        "192.0.2.1:80:80",
        "192.0.2.1/24",
        "192.0.2.1 ",
        "[2001:db8::1",
        "2001:db8::1]",
        "[2001:db8::1]x",
        "[2001:db8::1]:",
        "[192.0.2.1]",
        "fe80::1%eth0",
        "\"192.0.2.1\"",
        "192.0.2.1\0",
    ] {
        assert_eq!(node(text), None, "{text}");
    }
}

#[test]
fn client_is_the_rightmost_address_that_is_no_proxy() {
    for (lines, address) in [
        (&["192.0.2.1"][..], "192.0.2.1"),
        (&["6.6.6.6, 192.0.2.1"], "192.0.2.1"),
        (&["6.6.6.6", "192.0.2.1"], "192.0.2.1"),
        (&["6.6.6.6, 192.0.2.1, 10.0.0.2"], "192.0.2.1"),
        (&["6.6.6.6, 192.0.2.1", "10.0.0.2 ,10.9.9.9"], "192.0.2.1"),
        (&["192.0.2.1,, ,"], "192.0.2.1"),
        (&["\"6.6.6.6, 192.0.2.1"], "192.0.2.1"),
        (&["2001:db8:aa::2", "10.0.0.2"], "2001:db8:aa::2"),
        (&["192.0.2.1, 2001:db8:aa::2"], "192.0.2.1"),
        (&["192.0.2.1, ::ffff:10.0.0.2"], "192.0.2.1"),
        (&["[2001:db8::9]:443"], "2001:db8::9"),
        // All addresses are trusted proxies, so the first proxy is the client.
        (&["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        // An entry that is not an address ends the search at the proxy that wrote it.
        (&["unknown"], "10.0.0.1"),
        (&["192.0.2.1, unknown"], "10.0.0.1"),
        (&["192.0.2.1, unknown, 10.0.0.2"], "10.0.0.2"),
        (&["192.0.2.1", "\u{fffd}"], "10.0.0.1"),
        (&["192.0.2.1; 10.0.0.2"], "10.0.0.1"),
        (&["\"192.0.2.1"], "10.0.0.1"),
        (&[""], "10.0.0.1"),
        (&[], "10.0.0.1"),
    ] {
        let fields = Fields { forwarded_for: lines.into(), ..Fields::default() };
        assert_eq!(found("10.0.0.1", &fields), Ok((address.to_owned(), Scheme::Http)), "{lines:?}");
        assert_eq!(found("::ffff:10.0.0.1", &fields).map(|found| found.0), Ok(address.to_owned()));
        // Headers of an untrusted peer are ignored.
        let stranger = Ok(("192.0.2.99".to_owned(), Scheme::Http));
        assert_eq!(found("192.0.2.99", &fields), stranger, "{lines:?}");
    }
}

#[test]
fn forwarded_is_read_as_rfc_7239_writes_it() {
    use Scheme::{Http, Https};
    for (lines, address, scheme) in [
        (&["for=192.0.2.1"][..], "192.0.2.1", Http),
        (&["For=\"[2001:db8:cafe::17]:4711\""], "2001:db8:cafe::17", Http),
        (&["for=192.0.2.60;proto=https;by=203.0.113.43"], "192.0.2.60", Https),
        (&["by=\"a,b;c\" ; Proto=HTTPS; FOR=192.0.2.60 ;"], "192.0.2.60", Https),
        (&["for=6.6.6.6, for=192.0.2.1, for=10.0.0.2"], "192.0.2.1", Http),
        (
            &["for=6.6.6.6", "for=192.0.2.1;proto=https", "for=10.0.0.2;proto=http"],
            "192.0.2.1",
            Https,
        ),
        (&["for=\"192\\.0.2.1\""], "192.0.2.1", Http),
        // The scheme comes from the last entry that was read.
        (&["for=6.6.6.6;proto=https, for=192.0.2.1;proto=http"], "192.0.2.1", Http),
        (&["for=unknown;proto=https"], "10.0.0.1", Https),
        (&["for=_hidden, for=10.0.0.2"], "10.0.0.2", Http),
        (&["proto=https"], "10.0.0.1", Https),
        (&["for=192.0.2.1;for=192.0.2.2"], "10.0.0.1", Http),
        (&["for=192.0.2.1;broken"], "10.0.0.1", Http),
        (&["for=192.0.2.1;proto=gopher"], "192.0.2.1", Http),
        // An open quote of the client hides what a proxy appended, so no entry is trusted.
        (&["for=6.6.6.6;by=\", for=192.0.2.1"], "10.0.0.1", Http),
        (&["for=6.6.6.6, for=\", for=\"[2001:db8::9]:1\""], "10.0.0.1", Http),
        (&["for=6.6.6.6;by=\"", "for=192.0.2.1"], "192.0.2.1", Http),
        (&["for=\"192.0.2.1\"x"], "10.0.0.1", Http),
        (&["for=\"192.0.2.1\\"], "10.0.0.1", Http),
    ] {
        let fields = Fields { forwarded: lines.into(), ..Fields::default() };
        assert_eq!(found("10.0.0.1", &fields), Ok((address.to_owned(), scheme)), "{lines:?}");
        let stranger = Ok(("192.0.2.99".to_owned(), Http));
        assert_eq!(found("192.0.2.99", &fields), stranger, "{lines:?}");
    }
}

#[test]
fn two_fields_must_name_the_same_client() {
    let both = |standard, custom| Fields {
        forwarded: vec![standard],
        forwarded_for: vec![custom],
        forwarded_proto: vec!["http, https"],
    };
    let fields = both("for=6.6.6.6, for=192.0.2.1;proto=http", "192.0.2.1");
    assert_eq!(found("10.0.0.1", &fields), Ok(("192.0.2.1".to_owned(), Scheme::Http)));
    let fields = both("for=192.0.2.1", "7.7.7.7, 192.0.2.1");
    assert_eq!(found("10.0.0.1", &fields), Ok(("192.0.2.1".to_owned(), Scheme::Https)));
    for (standard, custom) in
        [("for=6.6.6.6", "192.0.2.1"), ("for=192.0.2.1", "unknown"), ("garbage", "192.0.2.1")]
    {
        let fields = both(standard, custom);
        assert_eq!(found("10.0.0.1", &fields), Err(ConflictingClients), "{standard} {custom}");
        assert!(found("192.0.2.99", &fields).is_ok(), "a stranger's fields are not read");
    }
}
