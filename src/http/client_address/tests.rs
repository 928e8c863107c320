use actix_web::test::TestRequest;

use super::*;

const PROXY: &str = "10.0.0.1";
/// What strangers pretend to be.
const FORGED: &str = "198.51.100.66";

fn ten() -> TrustedProxies {
    trusting(&["10.0.0.0/8", "fd00::/8"])
}

fn trusting(networks: &[&str]) -> TrustedProxies {
    TrustedProxies::new(networks.iter().map(|network| network.parse().expect("a network")).collect())
}

/// Whom `trusted` take for the client of a request from `peer`.
fn client(trusted: &TrustedProxies, peer: &str, forwarded: &[&str], x_forwarded_for: &[&str]) -> String {
    let (forwarded, other) = (forwarded.iter().map(|line| line.as_bytes()), x_forwarded_for.iter());
    let peer = peer.parse().expect("an address");
    trusted.client(peer, forwarded, other.map(|line| line.as_bytes())).to_string()
}

#[test]
fn without_trusted_proxies_the_peer_is_the_client_whatever_it_says() {
    for peer in [PROXY, "203.0.113.9", "2001:db8::9"] {
        assert_eq!(client(&TrustedProxies::default(), peer, &["for=198.51.100.66"], &[FORGED]), peer);
    }
    assert_eq!(client(&ten(), "203.0.113.9", &["for=198.51.100.66"], &[FORGED]), "203.0.113.9");
}

#[test]
fn x_forwarded_for_is_read_from_the_right_to_the_first_that_is_no_trusted_proxy() {
    for (lines, expected) in [
        (&["203.0.113.9"][..], "203.0.113.9"),
        (&["198.51.100.66, 203.0.113.9"], "203.0.113.9"),
        (&["198.51.100.66, 203.0.113.9, 10.2.0.1,10.3.0.1"], "203.0.113.9"),
        (&["198.51.100.66", "203.0.113.9, 10.2.0.1", "10.3.0.1"], "203.0.113.9"),
        (&["10.9.0.1, 198.51.100.66, 203.0.113.9"], "203.0.113.9"),
        (&["203.0.113.9:4711"], "203.0.113.9"),
        (&["2001:db8::9"], "2001:db8::9"),
        (&["[2001:DB8:0::9]"], "2001:db8::9"),
        (&["[2001:db8::9]:4711"], "2001:db8::9"),
        (&["::ffff:203.0.113.9"], "203.0.113.9"),
        (&["203.0.113.9, [::ffff:10.2.0.1]:80, fd00::1"], "203.0.113.9"),
        (&[" \t203.0.113.9 , , \t"], "203.0.113.9"),
        (&["10.3.0.1, 10.2.0.1"], "10.3.0.1"),
        (&["", " , "], PROXY),
        (&[], PROXY),
    ] {
        assert_eq!(client(&ten(), PROXY, &[], lines), expected, "{lines:?}");
    }
}

#[test]
fn forwarded_is_read_as_rfc_7239_has_it() {
    for (lines, expected) in [
        (&["for=203.0.113.9"][..], "203.0.113.9"),
        (&["For=\"[2001:db8:cafe::17]:4711\""], "2001:db8:cafe::17"),
        (&["for=192.0.2.60;proto=http;by=203.0.113.43"], "192.0.2.60"),
        (&["for=192.0.2.43, for=198.51.100.17"], "198.51.100.17"),
        (&["proto=https;by=_gateway; FOR=203.0.113.9 ;host=\"a;for=198.51.100.66,b\""], "203.0.113.9"),
        (&["for=198.51.100.66, for=203.0.113.9;by=10.2.0.1, for=\"10.2.0.1:80\""], "203.0.113.9"),
        (&["for=198.51.100.66", "for=203.0.113.9"], "203.0.113.9"),
        (&["for=\"203.0.113.9:_hidden\""], "203.0.113.9"),
        (&["for=2001:db8::9"], "2001:db8::9"),
        (&["for=\"::ffff:203.0.113.9\""], "203.0.113.9"),
        (&["for=203.0.113.9, proto=https, for=10.2.0.1"], "10.2.0.1"),
    ] {
        assert_eq!(client(&ten(), PROXY, lines, &[]), expected, "{lines:?}");
    }
}

#[test]
fn a_hop_that_is_hidden_or_unreadable_leaves_the_last_one_before_it() {
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
        assert_eq!(client(&ten(), PROXY, &[], &[&x_forwarded_for]), "10.3.0.1", "{x_forwarded_for}");
        let forwarded = format!("for={FORGED}, for=\"{node}\", for=10.3.0.1");
        assert_eq!(client(&ten(), PROXY, &[&forwarded], &[]), "10.3.0.1", "{forwarded}");
        assert_eq!(client(&ten(), PROXY, &[&format!("for=\"{node}\"")], &[]), PROXY, "{node}");
    }
    for element in
        ["for=1.1.1.1;for=203.0.113.9", "for=", "for=\"", "for=\"1.1.1.1", "for=\"\\1.1.1.1\"", "for==1.1.1.1"]
    {
        assert_eq!(client(&ten(), PROXY, &[&format!("{element}, for=10.3.0.1")], &[]), "10.3.0.1", "{element}");
    }
}

/// What the client wrote stands left of what the proxy appends, in the same line or in one before it.
#[test]
fn nothing_that_a_stranger_writes_changes_how_the_proxys_own_words_read() {
    let forgeries = [
        "",
        " ",
        ",",
        "\"",
        "\\",
        "\\\"",
        "for=\"",
        "for=\"x, for=198.51.100.66",
        "for=\"\\",
        "for=\"a\\\"",
        "for=198.51.100.66",
        "for=198.51.100.66;",
        ";;;",
        "===",
        "for=\"10.0.0.1\";for=\"",
        "host=\"a\\\\\\\"",
        "198.51.100.66",
        "[",
        "10.2.0.1",
        "for=10.2.0.1",
        "\u{80}\u{ff}",
        "for=unknown",
        "proto=https;host=\"",
    ];
    let own = [
        "for=203.0.113.9",
        "for=\"203.0.113.9:80\";proto=https",
        "host=\"\\\",for=1.1.1.1;x=\\\"\\\\\";for=203.0.113.9",
    ];
    for forged in forgeries {
        for own in own {
            let one_line = format!("{forged}, {own}");
            assert_eq!(client(&ten(), PROXY, &[&one_line], &[]), "203.0.113.9", "{one_line}");
            assert_eq!(client(&ten(), PROXY, &[forged, own], &[]), "203.0.113.9", "{forged} and {own}");
        }
        let one_line = format!("{forged},203.0.113.9");
        assert_eq!(client(&ten(), PROXY, &[], &[&one_line]), "203.0.113.9", "{one_line}");
        assert_eq!(client(&ten(), PROXY, &[], &[forged, "203.0.113.9"]), "203.0.113.9", "{forged}");
    }
}

#[test]
fn a_line_that_is_no_text_spoils_itself_alone() {
    let lines = [b"\xff\xfe".as_slice(), b"\xff, 203.0.113.9"];
    let client = ten().client(PROXY.parse().expect("an address"), [].into_iter(), lines.into_iter());
    assert_eq!(client.to_string(), "203.0.113.9");
}

#[test]
fn two_headers_that_contradict_each_other_leave_the_peer() {
    for (forwarded, x_forwarded_for, expected) in [
        ("for=203.0.113.9", "203.0.113.9", "203.0.113.9"),
        ("for=\"[::ffff:203.0.113.9]:80\", for=10.2.0.1", "198.51.100.66, 203.0.113.9", "203.0.113.9"),
        ("for=198.51.100.66", "203.0.113.9", PROXY),
        ("for=203.0.113.9", "198.51.100.66", PROXY),
        ("for=unknown", "203.0.113.9", PROXY),
        ("for=203.0.113.9", "unknown", PROXY),
        ("for=198.51.100.66, for=10.2.0.1", "203.0.113.9, 10.2.0.1", PROXY),
        ("proto=https", "203.0.113.9", "203.0.113.9"),
        ("for=198.51.100.66, proto=https", "203.0.113.9", "203.0.113.9"),
        ("nonsense \" , ;", "203.0.113.9", "203.0.113.9"),
        ("for=203.0.113.9", " ,", "203.0.113.9"),
        ("proto=https", "", PROXY),
    ] {
        assert_eq!(client(&ten(), PROXY, &[forwarded], &[x_forwarded_for]), expected, "{forwarded} {x_forwarded_for}");
    }
}

#[test]
fn an_ipv4_mapped_address_is_ipv4_as_a_peer_and_in_a_network() {
    let (peer, said) = ("::ffff:10.0.0.1", ["203.0.113.9"]);
    assert_eq!(client(&TrustedProxies::default(), "::ffff:203.0.113.9", &[], &[]), "203.0.113.9");
    for (network, expected) in [
        ("10.0.0.0/8", "203.0.113.9"),
        ("10.0.0.1/32", "203.0.113.9"),
        ("::ffff:10.0.0.0/104", "203.0.113.9"),
        ("::ffff:10.0.0.1/128", "203.0.113.9"),
        ("::ffff:11.0.0.0/104", PROXY),
        ("::10.0.0.1/128", PROXY),
        ("2000::/3", PROXY),
    ] {
        assert_eq!(client(&trusting(&[network]), peer, &[], &said), expected, "{network}");
        assert_eq!(client(&trusting(&[network]), PROXY, &[], &said), expected, "{network}");
    }
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
    ] {
        assert_eq!(ClientAddress::new(address.parse().expect("an address")).limit_key(), key, "{address}");
    }
}

#[test]
fn a_request_is_read_with_its_peer_and_all_its_header_lines() {
    let request = TestRequest::default()
        .peer_addr("10.0.0.1:4711".parse().expect("an address"))
        .append_header(("X-Forwarded-For", FORGED))
        .append_header(("X-Forwarded-For", "203.0.113.9, 10.2.0.1"));
    assert_eq!(ten().client_of(&request.to_http_request()).to_string(), "203.0.113.9");
    assert_eq!(ten().client_of(&TestRequest::default().to_http_request()).to_string(), "0.0.0.0");
}
