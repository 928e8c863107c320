//! The tokens of an issuer, and where its keys are.

use std::path::{Path, PathBuf};
use std::{fs::File, io::Read, pin::Pin, time::Duration};

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, Request, Url};
use serde::Deserialize;
use wxmint_upstream::{Tls, Upstream};
use wxmint_verify::{PublishedKeys, VerifierPolicy, peer::OtherIssuer};

use super::secure;

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 64 << 10;
const CONNECT: Duration = Duration::from_secs(2);
const TOTAL: Duration = Duration::from_secs(5);

/// The tokens of an issuer for an audience.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trust {
    pub(super) issuer: String,
    /// `None`: that of [`super::Issuers`].
    pub(super) audience: Option<String>,
    pub(super) longest_life: Duration,
    pub(super) keys: Place,
    /// A file of authorities that are trusted in place of the system's.
    pub(super) ca: Option<PathBuf>,
    /// A file with a bearer token for the URL of the keys, which a Kubernetes API server wants.
    pub(super) token: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// The `jwks_uri` of the metadata at this URL (OpenID Connect Discovery 1.0 section 4).
    Metadata(Url),
    Url(Url),
    File(PathBuf),
    Given(String),
}

impl Trust {
    /// Fetches the keys. The error says why they cannot be had.
    pub(super) async fn keys(&self) -> Result<PublishedKeys, String> {
        #[derive(Deserialize)]
        struct Metadata {
            issuer: String,
            jwks_uri: String,
        }
        usable(&match &self.keys {
            Place::Given(set) => set.clone().into_bytes(),
            Place::File(path) => read(path)?,
            Place::Url(url) => self.get(url.clone()).await?,
            Place::Metadata(url) => {
                let found: Option<Metadata> = serde_json::from_slice(&self.get(url.clone()).await?).ok();
                let url = found.filter(|found| found.issuer == self.issuer).and_then(|found| secure(&found.jwks_uri));
                self.get(url.ok_or("its metadata name another issuer, or no https URL as `jwks_uri`")?).await?
            }
        })
    }

    /// Reads the files each time, because Kubernetes replaces them.
    async fn get(&self, url: Url) -> Result<Vec<u8>, String> {
        let tls = match &self.ca {
            Some(path) => Tls::trusting(&read(path)?),
            None => Tls::reaching([&url]),
        };
        let client = tls.and_then(|tls| Upstream::new(&tls, CONNECT, TOTAL)).map_err(|error| error.to_string())?;
        let mut request = Request::new(Method::GET, url);
        if let Some(path) = &self.token {
            let token = HeaderValue::try_from([b"Bearer ", read(path)?.trim_ascii()].concat());
            let mut token = token.map_err(|_| format!("{}: no token", path.display()))?;
            token.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, token);
        }
        fetch(&client, request).await
    }

    /// Starts to keep the keys on the current runtime.
    pub(super) fn start(&self, audience: &str) -> OtherIssuer {
        let audience = self.audience.as_deref().unwrap_or(audience);
        let policy =
            VerifierPolicy { longest_life: self.longest_life, ..VerifierPolicy::new(&self.issuer, [audience]) };
        let trust = self.clone();
        let fetch = move || -> Pin<Box<dyn Future<Output = _> + Send>> {
            let trust = trust.clone();
            Box::pin(async move { trust.keys().await })
        };
        OtherIssuer::start(policy, Box::new(fetch)).expect("an issuer and an audience")
    }
}

/// The body of an answer, which is 200.
pub(super) async fn fetch(http: &Upstream, request: Request) -> Result<Vec<u8>, String> {
    let fetched = http.fetch(request).await.map_err(|error| error.to_string())?;
    if fetched.status == 200 { Ok(fetched.body) } else { Err(format!("the answer is {}", fetched.status.as_u16())) }
}

pub(super) fn usable(set: &[u8]) -> Result<PublishedKeys, String> {
    let keys = PublishedKeys::read_of_others(set).map_err(|error| error.to_string())?;
    match keys.refused.first() {
        _ if !keys.keys.is_empty() => Ok(keys),
        Some(error) => Err(error.to_string()),
        None => Err("the set is empty".into()),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut content));
    read.map(|_| content).map_err(|error| format!("{}: {error}", path.display()))
}
