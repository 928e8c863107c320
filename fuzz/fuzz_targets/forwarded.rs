//! The headers in which proxies name their client, preceded by an attacker's entries: nobody can choose his own
//! address.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wxmint::http::{ClientAddress, TrustedProxies};

type Lines = Vec<Vec<u8>>;

const PEER: &str = "10.0.0.1";
/// The entries that the proxies add for a request from 203.0.113.9.
const CLIENT: &str = "203.0.113.9";
const X_FORWARDED_FOR: &[u8] = b", 203.0.113.9, [::ffff:10.2.0.1]:80";
const FORWARDED: &[u8] = b", host=\"\\\",;for=1.1.1.1\";For=\"203.0.113.9:80\",for=10.2.0.1;proto=https";

fuzz_target!(|input: &[u8]| {
    let (forwarded, x_forwarded_for) = header_lines(input);
    let [nobody, trusted] = [vec![], vec!["10.0.0.0/8".parse().expect("a network")]].map(TrustedProxies::new);
    assert_eq!(client(&nobody, &forwarded, &x_forwarded_for), address(PEER));
    check_key(client(&trusted, &forwarded, &x_forwarded_for));
    check_key(client(&trusted, &forwarded, &Lines::new()));

    for told in appended(&x_forwarded_for, X_FORWARDED_FOR) {
        assert_eq!(client(&trusted, &Lines::new(), &told), address(CLIENT));
        contradicted_at_most(client(&trusted, &forwarded, &told));
    }
    for told in appended(&forwarded, FORWARDED) {
        assert_eq!(client(&trusted, &told, &Lines::new()), address(CLIENT));
        contradicted_at_most(client(&trusted, &told, &x_forwarded_for));
    }
});

/// `Forwarded` and `X-Forwarded-For`; the lowest bit of a line's first byte chooses the header.
fn header_lines(input: &[u8]) -> (Lines, Lines) {
    let lines = input.split(|byte| *byte == b'\n').filter_map(<[u8]>::split_first);
    let (forwarded, x_forwarded_for) = lines.partition::<Vec<_>, _>(|(name, _)| *name % 2 == 0);
    let values = |lines: Vec<(&u8, &[u8])>| lines.into_iter().map(|(_, value)| value.to_vec()).collect();
    (values(forwarded), values(x_forwarded_for))
}

/// As from a proxy that appends to the last line, and from one that adds a line.
fn appended(lines: &Lines, added: &[u8]) -> [Lines; 2] {
    let (mut same, mut another) = (lines.clone(), lines.clone());
    match same.last_mut() {
        Some(last) => last.extend_from_slice(added),
        None => same.push(added.to_vec()),
    }
    another.push(added.to_vec());
    [same, another]
}

fn client(trusted: &TrustedProxies, forwarded: &Lines, x_forwarded_for: &Lines) -> ClientAddress {
    let peer = PEER.parse().expect("an address");
    trusted.client(peer, forwarded.iter().map(Vec::as_slice), x_forwarded_for.iter().map(Vec::as_slice))
}

fn address(text: &str) -> ClientAddress {
    ClientAddress::new(text.parse().expect("an address"))
}

fn contradicted_at_most(client: ClientAddress) {
    assert!([address(CLIENT), address(PEER)].contains(&client), "{client} was a stranger's choice");
}

/// The limit's key can stand in a Redis key, and is the same for every spelling of an address.
fn check_key(client: ClientAddress) {
    let key = client.limit_key();
    assert!(key.len() <= 43 && key.bytes().all(|byte| byte.is_ascii_hexdigit() || b".:/".contains(&byte)), "{key}");
    let named = key.trim_end_matches("/64");
    assert_eq!(address(named).limit_key(), key);
}
