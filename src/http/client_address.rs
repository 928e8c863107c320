//! The address of the client, by which limits count.
//!
//! The address of the connection's peer is certain. `Forwarded` (RFC 7239) and `X-Forwarded-For` are believed only from
//! trusted proxies. Each proxy appends the address of its own client, so such a list is true from its right end to the
//! first address that is not a trusted proxy's: that address is the client. The client may have written everything to
//! the left of it. For the same reason the list is parsed from the right, so that an open quote on the left cannot
//! change how the proxies' own entries read. If an entry is hidden (`unknown`, `_name`) or unreadable, the entry to its
//! right counts as the client, because it is the proxy that is known to have passed the request on.
//!
//! **Both headers.** Most proxies write `X-Forwarded-For` and pass on a client's own `Forwarded`; some do the reverse.
//! This program cannot see which header the client wrote, and a wrong guess would let clients choose their address, to
//! escape their own limit or to use up somebody else's. So if the two headers lead to different addresses, neither is
//! believed and the peer's address counts. Honest requests carry two contradicting lists only if the trusted proxies
//! contradict each other: let all of them write the same header. A `Forwarded` whose last element has no `for`
//! (`proto=https`) names no address and contradicts nothing.
//!
//! A trusted proxy must write one of the two headers. Otherwise it passes on whatever its client wrote.

use std::{
    fmt::{self, Write},
    iter,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use actix_web::{
    HttpRequest,
    http::header::{self, HeaderValue},
};
use ipnet::{IpNet, Ipv6Net};

/// The prefix that a subscriber of IPv6 has at least. The subscriber can choose any address below it.
const SUBSCRIBER: u8 = 64;

/// The address of a client. An IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2) is kept as its IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAddress(IpAddr);

/// The networks of `WXMINT_TRUSTED_PROXIES`.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<IpNet>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hop {
    At(IpAddr),
    /// The entry hides the address, or cannot be read.
    Hidden,
    /// An element of `Forwarded` that names no address.
    Unsaid,
}

impl ClientAddress {
    /// Unwraps an IPv4-mapped address.
    pub fn new(address: IpAddr) -> Self {
        Self(address.to_canonical())
    }

    /// The name under which limits count this client: `192.0.2.1`, or for IPv6 the network of the subscriber,
    /// `2001:db8:1:2::/64`. It has no braces, which would be a hash tag in a Redis key.
    pub fn limit_key(self) -> String {
        match self.0 {
            IpAddr::V4(address) => {
                let mut key = String::with_capacity("255.255.255.255".len());
                write!(key, "{address}").expect("a String takes all");
                key
            }
            IpAddr::V6(address) => Ipv6Net::new_assert(address, SUBSCRIBER).trunc().to_string(),
        }
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TrustedProxies {
    /// Trusts the proxies in these networks.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// The client that sent this request. (actix-web's own `realip_remote_addr` believes every proxy.)
    pub fn client_of(&self, request: &HttpRequest) -> ClientAddress {
        // Only peers on a Unix socket have no address. They all count as one client.
        let peer = request.peer_addr().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip());
        let lines = |name| request.headers().get_all(name).map(HeaderValue::as_bytes);
        self.client(peer, lines(header::FORWARDED), lines(header::X_FORWARDED_FOR))
    }

    /// The client, by the peer's address and the lines of the two headers in the order in which they arrived.
    pub fn client<'a>(
        &self,
        peer: IpAddr,
        forwarded: impl DoubleEndedIterator<Item = &'a [u8]>,
        x_forwarded_for: impl DoubleEndedIterator<Item = &'a [u8]>,
    ) -> ClientAddress {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            return ClientAddress(peer);
        }
        let forwarded = self.walk(peer, elements(forwarded).map(forwarded_hop));
        let x_forwarded_for = self.walk(peer, elements(x_forwarded_for).map(hop));
        ClientAddress(match (forwarded, x_forwarded_for) {
            (Some(one), Some(other)) if one != other => peer,
            (Some(client), _) | (None, Some(client)) => client,
            (None, None) => peer,
        })
    }

    /// The first of `hops` that is not a trusted proxy, or else the last one that is known; `None` if there is no list.
    fn walk(&self, peer: IpAddr, mut hops: impl Iterator<Item = Hop>) -> Option<IpAddr> {
        let last = hops.next().filter(|hop| *hop != Hop::Unsaid)?;
        let mut client = peer;
        for hop in iter::once(last).chain(hops) {
            let Hop::At(address) = hop else { break };
            client = address;
            if !self.trusts(client) {
                break;
            }
        }
        Some(client)
    }

    /// Also compares the mapped form of IPv4, because a dual-stack proxy may be written as `::ffff:10.0.0.0/104`.
    fn trusts(&self, address: IpAddr) -> bool {
        let mapped = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped().into(),
            IpAddr::V6(_) => address,
        };
        self.0.iter().any(|network| network.contains(&address) || network.contains(&mapped))
    }
}

/// The elements of a list from its right end, without the empty ones (RFC 9110 section 5.6.1). No element reaches from
/// one header line into the next.
fn elements<'a>(lines: impl DoubleEndedIterator<Item = &'a [u8]>) -> impl Iterator<Item = &'a [u8]> {
    lines
        .rev()
        .flat_map(|line| from_the_right(line, b','))
        .map(|element| element.trim_ascii())
        .filter(|element| !element.is_empty())
}

/// Splits at separators outside of quotes, from the right.
fn from_the_right(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    iter::from_fn(move || {
        let text = rest?;
        let Some(at) = last_unquoted(text, separator) else { return rest.take() };
        rest = Some(&text[..at]);
        Some(&text[at + 1..])
    })
}

fn last_unquoted(text: &[u8], wanted: u8) -> Option<usize> {
    let mut quoted = false;
    (0..text.len()).rev().find(|&at| {
        quoted ^= text[at] == b'"' && !is_escaped(&text[..at]);
        text[at] == wanted && !quoted
    })
}

/// Whether the next byte is the second half of a quoted pair.
fn is_escaped(before: &[u8]) -> bool {
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// `for=192.0.2.43;proto=https`, in any order and case. An element with two `for` is invalid (section 4).
fn forwarded_hop(element: &[u8]) -> Hop {
    let mut nodes = from_the_right(element, b';').filter_map(|pair| {
        let (name, value) = pair.split_at(pair.iter().position(|byte| *byte == b'=')?);
        name.trim_ascii().eq_ignore_ascii_case(b"for").then_some(&value[1..])
    });
    match (nodes.next(), nodes.next()) {
        (None, _) => Hop::Unsaid,
        (Some(node), None) => hop(unquoted(node.trim_ascii())),
        (Some(_), Some(_)) => Hop::Hidden,
    }
}

/// Removes the quotes. Escapes need not be decoded, because no valid node has a backslash.
fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}

fn hop(node: &[u8]) -> Hop {
    str::from_utf8(node).ok().and_then(address).map_or(Hop::Hidden, Hop::At)
}

/// A node that is an address (RFC 7239 section 6), with or without a port, and IPv6 also without its brackets, as most
/// write it in `X-Forwarded-For`.
fn address(node: &str) -> Option<IpAddr> {
    let host = match node.rsplit_once(':') {
        Some((host, port)) if is_port(port) && (host.ends_with(']') || !host.contains(':')) => host,
        _ => node,
    };
    let address = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?.into(),
        None => host.parse::<IpAddr>().ok()?,
    };
    Some(address.to_canonical())
}

/// Five digits at most, or an obfuscated port.
fn is_port(text: &str) -> bool {
    let obfuscated = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match text.strip_prefix('_') {
        Some(name) => !name.is_empty() && name.bytes().all(obfuscated),
        None => (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests;
