//! The header in which proxies name their client, begun by an attacker: nobody can choose his own address.

#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use wxmint_http::{TrustedProxies, limit_key};

type Lines = Vec<Vec<u8>>;

const PEER: &str = "10.0.0.1";
/// The entries that the proxies add for a request from 203.0.113.9.
const CLIENT: &str = "203.0.113.9";
const ADDED: &[u8] = b", 203.0.113.9, [::ffff:10.2.0.1]:80";

fuzz_target!(|input: &[u8]| {
    let lines: Lines = input
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    let [nobody, trusted] =
        [vec![], vec!["10.0.0.0/8".parse().expect("a network")]].map(TrustedProxies);
    assert_eq!(client(&nobody, &lines), address(PEER));
    check_key(client(&trusted, &lines));
    for told in appended(&lines) {
        assert_eq!(client(&trusted, &told), address(CLIENT));
    }
});

/// As from a proxy that appends to the last line, and from one that adds a line.
fn appended(lines: &Lines) -> [Lines; 2] {
    let (mut same, mut another) = (lines.clone(), lines.clone());
    same.last_mut()
        .expect("split gives one part at least")
        .extend_from_slice(ADDED);
    another.push(ADDED.to_vec());
    [same, another]
}

fn client(trusted: &TrustedProxies, lines: &Lines) -> IpAddr {
    trusted.client(
        PEER.parse().expect("an address"),
        lines.iter().map(Vec::as_slice),
    )
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// The limit's key can stand in a Redis key, and is the same for every spelling of an address.
fn check_key(client: IpAddr) {
    let key = limit_key(client);
    assert!(
        key.len() <= 43
            && key
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() || b".:/".contains(&byte)),
        "{key}"
    );
    let named = key.trim_end_matches("/64");
    assert_eq!(limit_key(address(named)), key);
}
