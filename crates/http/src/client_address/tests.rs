use actix_web::test::TestRequest;

use super::*;
use crate::limit_key;

const PROXY: &str = "10.0.0.1";
/// The address that strangers claim to have.
const FORGED: &str = "198.51.100.66";

fn ten() -> TrustedProxies {
    trusting(&["10.0.0.0/8", "fd00::/8"])
}

fn trusting(networks: &[&str]) -> TrustedProxies {
    TrustedProxies(
        networks
            .iter()
            .map(|network| network.parse().expect("a network"))
            .collect(),
    )
}

/// The client's address for a request from `peer`, if `trusted` are the trusted proxies.
fn client(trusted: &TrustedProxies, peer: &str, lines: &[&str]) -> String {
    let peer = peer.parse().expect("an address");
    trusted
        .client(peer, lines.iter().map(|line| line.as_bytes()))
        .to_string()
}

#[test]
fn without_trusted_proxies_the_peer_is_the_client_whatever_it_says() {
    for peer in [PROXY, "203.0.113.9", "2001:db8::9"] {
        assert_eq!(client(&TrustedProxies::default(), peer, &[FORGED]), peer);
    }
    assert_eq!(client(&ten(), "203.0.113.9", &[FORGED]), "203.0.113.9");
}

#[test]
fn x_forwarded_for_is_read_from_the_right_to_the_first_that_is_no_trusted_proxy() {
    for (lines, expected) in [
        (&["203.0.113.9"][..], "203.0.113.9"),
        (&["198.51.100.66, 203.0.113.9"], "203.0.113.9"),
        (
            &["198.51.100.66, 203.0.113.9, 10.2.0.1,10.3.0.1"],
            "203.0.113.9",
        ),
        (
            &["198.51.100.66", "203.0.113.9, 10.2.0.1", "10.3.0.1"],
            "203.0.113.9",
        ),
        (&["10.9.0.1, 198.51.100.66, 203.0.113.9"], "203.0.113.9"),
        (&["203.0.113.9:4711"], "203.0.113.9"),
        (&["2001:db8::9"], "2001:db8::9"),
        (&["[2001:DB8:0::9]"], "2001:db8::9"),
        (&["[2001:db8::9]:4711"], "2001:db8::9"),
        (&["::ffff:203.0.113.9"], "203.0.113.9"),
        (
            &["203.0.113.9, [::ffff:10.2.0.1]:80, fd00::1"],
            "203.0.113.9",
        ),
        (&[" \t203.0.113.9 , , \t"], "203.0.113.9"),
        (&["10.3.0.1, 10.2.0.1"], "10.3.0.1"),
        (&["", " , "], PROXY),
        (&[], PROXY),
    ] {
        assert_eq!(client(&ten(), PROXY, lines), expected, "{lines:?}");
    }
}

#[test]
fn an_entry_that_is_hidden_or_unreadable_leaves_the_one_to_its_right() {
    for node in [
        "unknown",
        "_gazonk",
        "_",
        "localhost",
        "10.2.0",
        "010.2.0.1",
        "10.2.0.1:",
        "10.2.0.1:123456",
        "10.2.0.1:http",
        "10.2.0.1:_",
        "[10.2.0.1]",
        "[2001:db8::9",
        "2001:db8::9]",
        "[]",
        "[]:1",
        ":1",
        "fe80::1%eth0",
        "1.2.3.4 1.2.3.4",
        "\u{feff}203.0.113.9",
        "\u{0661}.1.1.1",
        "'203.0.113.9'",
        "203.0.113.9/32",
        "-",
        "*",
    ] {
        let x_forwarded_for = format!("{FORGED}, {node}, 10.3.0.1");
        assert_eq!(
            client(&ten(), PROXY, &[&x_forwarded_for]),
            "10.3.0.1",
            "{x_forwarded_for}"
        );
        assert_eq!(client(&ten(), PROXY, &[node]), PROXY, "{node}");
    }
}

/// The client's own entries are to the left of the entry that the proxy appends, in the same line
/// or in an earlier line.
#[test]
fn nothing_that_a_stranger_writes_changes_how_the_proxys_own_words_read() {
    let forgeries = [
        "",
        " ",
        ",",
        "\"",
        "\\\"",
        "for=\"x, 198.51.100.66",
        "198.51.100.66",
        "[",
        "10.2.0.1",
        "\u{80}\u{ff}",
    ];
    for forged in forgeries {
        for own in ["203.0.113.9", "203.0.113.9:80, 10.2.0.1"] {
            let one_line = format!("{forged},{own}");
            assert_eq!(
                client(&ten(), PROXY, &[&one_line]),
                "203.0.113.9",
                "{one_line}"
            );
            assert_eq!(
                client(&ten(), PROXY, &[forged, own]),
                "203.0.113.9",
                "{forged}"
            );
        }
    }
}

#[test]
fn a_line_that_is_no_text_spoils_itself_alone() {
    let lines = [b"\xff\xfe".as_slice(), b"\xff, 203.0.113.9"];
    let client = ten().client(PROXY.parse().expect("an address"), lines.into_iter());
    assert_eq!(client.to_string(), "203.0.113.9");
}

#[test]
fn an_ipv4_mapped_address_is_ipv4_as_a_peer_and_in_a_network() {
    let (peer, said) = ("::ffff:10.0.0.1", ["203.0.113.9"]);
    assert_eq!(
        client(&TrustedProxies::default(), "::ffff:203.0.113.9", &[]),
        "203.0.113.9"
    );
    for (network, expected) in [
        ("10.0.0.0/8", "203.0.113.9"),
        ("10.0.0.1/32", "203.0.113.9"),
        ("::ffff:10.0.0.0/104", "203.0.113.9"),
        ("::ffff:10.0.0.1/128", "203.0.113.9"),
        ("::ffff:11.0.0.0/104", PROXY),
        ("::10.0.0.1/128", PROXY),
        ("2000::/3", PROXY),
    ] {
        assert_eq!(
            client(&trusting(&[network]), peer, &said),
            expected,
            "{network}"
        );
        assert_eq!(
            client(&trusting(&[network]), PROXY, &said),
            expected,
            "{network}"
        );
    }
}

/// The translated address belongs to a stranger, although it contains a proxy's address.
#[test]
fn a_translated_address_is_no_trusted_proxy() {
    assert_eq!(
        client(&ten(), "64:ff9b::10.0.0.1", &["203.0.113.9"]),
        "64:ff9b::a00:1"
    );
}

#[test]
fn limits_count_ipv4_by_address_and_ipv6_by_subscriber() {
    for (address, key) in [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("2001:0DB8::1", "2001:db8::/64"),
        ("::1", "::/64"),
        ("64:ff9b::203.0.113.9", "203.0.113.9"),
        ("64:ff9b::203.0.113.10", "203.0.113.10"),
        ("64:ff9b:1::203.0.113.9", "64:ff9b:1::/64"),
        ("64:ff9b::1:203.0.113.9", "64:ff9b::/64"),
        ("64:ff9c::203.0.113.9", "64:ff9c::/64"),
    ] {
        assert_eq!(
            limit_key(address.parse().expect("an address")),
            key,
            "{address}"
        );
    }
}

#[test]
fn a_request_is_read_with_its_peer_and_all_its_header_lines() {
    let request = TestRequest::default()
        .peer_addr("10.0.0.1:4711".parse().expect("an address"))
        .append_header(("X-Forwarded-For", FORGED))
        .append_header(("X-Forwarded-For", "203.0.113.9, 10.2.0.1"));
    assert_eq!(
        ten().client_of(&request.to_http_request()).to_string(),
        "203.0.113.9"
    );
    assert_eq!(
        ten()
            .client_of(&TestRequest::default().to_http_request())
            .to_string(),
        "0.0.0.0"
    );
}
