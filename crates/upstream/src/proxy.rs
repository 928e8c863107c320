//! The HTTP proxy through which the calls of one client leave the company's network.

use std::str::FromStr;

use derive_more::{Debug, Display};
use reqwest::Url;
use zeroize::Zeroizing;

/// The URL of a proxy. It prints only host and port, because the URL may hold a password.
#[derive(Clone, Debug, Display)]
#[debug("ProxyUrl({host_and_port})")]
#[display("{host_and_port}")]
pub struct ProxyUrl {
    pub(crate) text: Zeroizing<String>,
    host_and_port: String,
}

/// Parses `http://` or `https://`, an optional user name and password, a host and an optional port.
/// Nothing may follow.
impl FromStr for ProxyUrl {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let url: Url = text.parse().map_err(|_| ())?;
        let is_plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        match (url.scheme(), url.host_str(), url.port_or_known_default()) {
            ("http" | "https", Some(host), Some(port)) if is_plain => Ok(Self {
                text: Zeroizing::new(text.to_owned()),
                host_and_port: format!("{host}:{port}"),
            }),
            _ => Err(()),
        }
    }
}
