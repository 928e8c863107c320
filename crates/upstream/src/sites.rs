//! URLs of other sites: which are safe, and how a site is named.

use std::net::Ipv4Addr;

use reqwest::Url;

/// Whether it is https, or http to this machine alone.
pub fn is_secure(url: &Url) -> bool {
    let is_loopback = |host: &str| {
        ["localhost", "[::1]"].contains(&host) || host.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback())
    };
    url.scheme() == "https" || url.scheme() == "http" && url.host_str().is_some_and(is_loopback)
}

/// A site whose pages may read answers: an origin that is secure, without a path, as a browser writes it.
pub fn site(text: &str) -> Option<String> {
    let url: Url = text.parse().ok()?;
    (is_secure(&url) && url.origin().ascii_serialization() == text).then(|| text.to_owned())
}
