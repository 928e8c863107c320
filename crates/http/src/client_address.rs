//! Finds the client's address, by which limits count.
//!
//! The address of the connection's peer is certain. `X-Forwarded-For` counts only from trusted
//! proxies. Each proxy appends the address of its own client, so the list is true from its right
//! end to the first address that is not a trusted proxy's: that address is the client. The client
//! may have written everything to the left of it. If an entry is hidden (`unknown`) or unreadable,
//! the entry to its right counts as the client, because it is the proxy that is known to have
//! passed the request on. `Forwarded` (RFC 7239) is not read, because most proxies pass on the
//! `Forwarded` header of their client unchanged.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Once;

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderValue, X_FORWARDED_FOR};
use ipnet::IpNet;

use super::connection::peer;

/// The networks of `WXMINT_TRUSTED_PROXIES`.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(pub Vec<IpNet>);

impl TrustedProxies {
    /// The address of the client that sent this request. An IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2) counts
    /// as its IPv4 address. (actix-web's own `realip_remote_addr` believes every proxy.)
    pub fn client_of(&self, request: &HttpRequest) -> IpAddr {
        let peer = peer(request);
        if request.headers().contains_key(X_FORWARDED_FOR) && !self.trusts(peer.to_canonical()) {
            warn_of_stranger(peer.to_canonical());
        }
        self.client(
            peer,
            request
                .headers()
                .get_all(X_FORWARDED_FOR)
                .map(HeaderValue::as_bytes),
        )
    }

    /// Computes the client's address from the peer's address and the lines of `X-Forwarded-For`, in
    /// the order in which they arrived.
    pub fn client<'a>(
        &self,
        peer: IpAddr,
        lines: impl DoubleEndedIterator<Item = &'a [u8]>,
    ) -> IpAddr {
        let mut client = peer.to_canonical();
        let entries = lines
            .rev()
            .flat_map(|line| line.rsplit(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii);
        for entry in entries.filter(|entry| !entry.is_empty()) {
            match str::from_utf8(entry).ok().and_then(address) {
                Some(before) if self.trusts(client) => client = before,
                _ => break,
            }
        }
        client
    }

    /// Also compares the mapped form of IPv4, because a dual-stack proxy may be written as `::ffff:10.0.0.0/104`.
    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        let mapped = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped().into(),
            IpAddr::V6(_) => address,
        };
        self.0
            .iter()
            .any(|network| network.contains(&address) || network.contains(&mapped))
    }
}

/// Warns only once, because strangers decide how often they send the header.
fn warn_of_stranger(peer: IpAddr) {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        tracing::warn!(
            %peer,
            "X-Forwarded-For is ignored, because WXMINT_TRUSTED_PROXIES does not name the address that sent it; if that is \
             your proxy's, add it there, or all clients of the proxy share one limit"
        );
    });
}

/// An address with or without a port, and IPv6 with or without its brackets.
fn address(entry: &str) -> Option<IpAddr> {
    let address = if let Ok(alone) = entry.parse::<IpAddr>() {
        alone
    } else if let Ok(with_port) = entry.parse::<SocketAddr>() {
        with_port.ip()
    } else {
        let in_brackets = entry.strip_prefix('[')?.strip_suffix(']')?;
        in_brackets.parse::<Ipv6Addr>().ok()?.into()
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests;
