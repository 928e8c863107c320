//! Who the client is: the address by which limits count.
//!
//! The peer of the connection is known. What `Forwarded` (RFC 7239) or `X-Forwarded-For` adds is hearsay, and is heard
//! only from trusted proxies. A proxy appends whom it was asked by, so that such a list is true from its right end to
//! the first address that is no trusted proxy's: this is the client, and what stands left of it the client may have
//! written itself. The list is also parsed from the right, for an open quote or other nonsense on the left must not
//! change how the proxy's own words read. Where a hop is hidden (`unknown`, `_name`) or cannot be read, the last hop
//! before it counts: the one proxy that is known to have sent the request on.
//!
//! **Both headers.** Most proxies write `X-Forwarded-For` alone and hand on a client's own `Forwarded`; some do the
//! reverse. Which is the stranger's cannot be seen from here, and whoever guesses wrong lets strangers choose their
//! address: to slip their own limit, or to use up somebody else's. So if the two lead to different addresses, neither is
//! believed and the peer counts. Only requests that carry two contradicting lists share that limit, and no honest one
//! does, unless the trusted proxies contradict each other: let all of them write the same header. A `Forwarded` whose
//! last element has no `for` says nothing of addresses (`proto=https`), and is no contradiction.
//!
//! A trusted proxy must write one of the two. From one that writes neither, a stranger's own would be believed.

use std::{
    fmt, iter,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use actix_web::{HttpRequest, http::header::HeaderValue};
use ipnet::{IpNet, Ipv6Net};

/// What one subscriber has of IPv6 at the least: 64 bits of address space to choose from at will.
const SUBSCRIBER: u8 = 64;

/// The address of a client, with an IPv4-mapped one (RFC 4291 section 2.5.5.2) as the IPv4 address that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAddress(IpAddr);

/// The networks of `WXMINT_TRUSTED_PROXIES`.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<IpNet>);

/// One element of a list, from the right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hop {
    At(IpAddr),
    /// Not told, or not to be read.
    Hidden,
    /// An element of `Forwarded` that is about something else.
    Unsaid,
}

impl ClientAddress {
    /// Of a connection's peer, for one.
    pub fn new(address: IpAddr) -> Self {
        Self(address.to_canonical())
    }

    /// What its limit is counted under: `192.0.2.1`, or for IPv6 the network of the subscriber, `2001:db8:1:2::/64`.
    /// Hexadecimal digits, dots, colons and a slash: no braces, which would be a hash tag in a Redis key.
    pub fn limit_key(self) -> String {
        match self.0 {
            IpAddr::V4(address) => address.to_string(),
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
    /// Those whose word is believed.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Who sent this request. actix-web's own `realip_remote_addr` believes everybody.
    pub fn client_of(&self, request: &HttpRequest) -> ClientAddress {
        // Only a Unix socket's peers have none; they would all count as one.
        let peer = request.peer_addr().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip());
        let lines = |name| request.headers().get_all(name).map(HeaderValue::as_bytes);
        self.client(peer, lines("forwarded"), lines("x-forwarded-for"))
    }

    /// Who asked, as `peer` and the lines of the two headers, in the order in which they came, have it.
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

    /// The first of `hops` that is no trusted proxy, or the last that is known; `None` where there is no list.
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

    /// IPv4 in its mapped form too: `::ffff:10.0.0.0/104` is how a dual-stack proxy may be written.
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

/// The parts between separators that stand outside of quotes.
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

/// Whether what follows is the second half of a quoted pair.
fn is_escaped(before: &[u8]) -> bool {
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// `for=192.0.2.43;proto=https`, in any order and case. `for` twice in one element is one too many (section 4).
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

/// Without the quotes around it; a backslash in a node is nobody's, and will not be read.
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
