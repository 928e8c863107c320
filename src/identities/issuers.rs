//! The issuers whose tokens identify services: where their keys are, and which service a token
//! belongs to. Also the public keys of this issuer in another region.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::{fs, fs::File, io, io::Read, sync::Arc, time::Duration};

use arc_swap::{ArcSwap, ArcSwapOption};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, Request, Url};
use serde::Deserialize;
use wxmint_upstream::{Tls, Upstream};
use wxmint_verify::peer::{NotVerified, OtherIssuer};
use wxmint_verify::{
    Identity, PublicKey, PublishedKeys, Refused, UnverifiedIssuer, Verified, VerifierPolicy,
};

use super::{ServiceIdentity, secure};
use crate::findings::{Finding, count, usable};

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 64 << 10;
/// The largest set of a peer's keys, in bytes: about twenty RSA keys. Verifiers read at most 64 KiB
/// of all sets together.
const MAX_PEER: usize = 12 << 10;
const CONNECT: Duration = Duration::from_secs(2);
const TOTAL: Duration = Duration::from_secs(5);
/// How long a peer's keys are used after they were last fetched; the default of verifiers, too.
const BELIEVED: TimeDelta = TimeDelta::hours(24);

/// The query parameter that requests a peer's own keys alone. Otherwise a key that this issuer has
/// retired could come back from a peer that still publishes it.
pub const OWN: &str = "own";

type Held = HashMap<Trust, Arc<OtherIssuer>>;

/// The issuers whose keys are held, for tokens with a given audience.
pub struct Issuers {
    audience: String,
    held: ArcSwap<Held>,
}

impl Issuers {
    /// Holds no keys yet. `audience` is the `aud` of tokens whose identity names no other audience.
    pub fn new(audience: String) -> Self {
        Self {
            audience,
            held: ArcSwap::default(),
        }
    }

    /// Holds the keys of these services' issuers from now on, and drops those of other issuers.
    /// Fetches them on the current tokio runtime, which must live as long as this value.
    pub fn hold<'a>(&self, services: impl Iterator<Item = &'a ServiceIdentity>) {
        let before = self.held.load_full();
        let mut held = Held::new();
        for ServiceIdentity { trust, .. } in services {
            held.entry(trust.clone()).or_insert_with(|| {
                before
                    .get(trust)
                    .cloned()
                    .unwrap_or_else(|| Arc::new(trust.start(&self.audience)))
            });
        }
        self.held.store(Arc::new(held));
    }

    /// Finds the service to which the token belongs; `None` if no service has its issuer and
    /// subject. The error says what else is wrong with the token, or that its issuer's keys are not
    /// available at the moment.
    pub async fn find<'a, Service>(
        &self,
        token: &str,
        services: impl Iterator<Item = (Service, &'a ServiceIdentity)>,
        now: DateTime<Utc>,
    ) -> Result<Option<(Service, Verified<Identity>)>, NotVerified> {
        let Ok(issuer) = UnverifiedIssuer::of(token) else {
            return Ok(None);
        };
        let held = self.held.load_full();
        let mut unknown = Vec::new();
        for (service, ServiceIdentity { subject, trust }) in services {
            if trust.issuer != issuer.as_str() || unknown.iter().any(|(of, _)| *of == trust) {
                continue;
            }
            let keys = held.get(trust).ok_or(NotVerified::NoKeys)?;
            match keys.identify(token, subject, now).await {
                Err(NotVerified::Refused(Refused::Subject)) => {}
                // Another service may have the same issuer with its keys from another place.
                Err(error @ (NotVerified::NoKeys | NotVerified::StaleKeys)) => {
                    unknown.push((trust, error));
                }
                judged => return judged.map(|identity| Some((service, identity))),
            }
        }
        unknown.first().map_or(Ok(None), |(_, error)| Err(*error))
    }
}

/// The doctor's findings on each issuer's keys: their number, or why they cannot be fetched.
pub async fn examine<'a>(
    check: &'static str,
    services: impl Iterator<Item = &'a ServiceIdentity>,
) -> Vec<Finding> {
    let mut seen = HashSet::new();
    let trusts = services
        .map(|service| &service.trust)
        .filter(|trust| seen.insert(*trust));
    let look = async |trust: &Trust| match trust.clone().keys().await {
        Ok(PublishedKeys { keys, .. }) => Finding::ok(
            check,
            message!(
                issuer_has_keys,
                &trust.issuer,
                count(keys.len(), ["key", "个密钥"])
            ),
        ),
        Err(why) => Finding::warning(
            check,
            message!(issuers_keys_are_not_had, &trust.issuer, why),
            message!(reach_issuer),
        ),
    };
    join_all(trusts.map(look)).await
}

/// How tokens of an issuer are verified.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Trust {
    pub(super) issuer: String,
    /// The expected `aud`; `None` if it is that of [`Issuers`].
    pub(super) audience: Option<String>,
    pub(super) longest_life: Duration,
    pub(super) keys: Place,
    /// A file of CA certificates that are trusted in place of the system's.
    pub(super) ca: Option<PathBuf>,
    /// A file with a bearer token for the URL of the keys. A Kubernetes API server requires one.
    pub(super) token: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// The `jwks_uri` of the metadata at this URL (OpenID Connect Discovery 1.0 section 4).
    Metadata(Url),
    Url(Url),
    File(PathBuf),
    Given(String),
}

impl Trust {
    /// Fetches the keys. The error says why this failed.
    async fn keys(self) -> Result<PublishedKeys, String> {
        #[derive(Deserialize)]
        struct Metadata {
            issuer: String,
            jwks_uri: String,
        }
        let set = match &self.keys {
            Place::Given(set) => set.clone().into_bytes(),
            Place::File(path) => read(path)?,
            Place::Url(url) => self.get(url.clone()).await?,
            Place::Metadata(url) => {
                let found: Option<Metadata> =
                    serde_json::from_slice(&self.get(url.clone()).await?).ok();
                let url = found
                    .filter(|found| found.issuer == self.issuer)
                    .and_then(|found| secure(&found.jwks_uri));
                self.get(
                    url.ok_or("its metadata name another issuer, or no https URL as `jwks_uri`")?,
                )
                .await?
            }
        };
        Ok(usable(PublishedKeys::read_of_others(&set))?)
    }

    /// Fetches a URL. Reads the files of CA and token each time, because Kubernetes replaces them.
    async fn get(&self, url: Url) -> Result<Vec<u8>, String> {
        let tls = if let Some(path) = &self.ca {
            Tls::trusting(&read(path)?)
        } else {
            Tls::reaching([&url])
        };
        let client = tls
            .and_then(|tls| Upstream::new(&tls, CONNECT, TOTAL))
            .map_err(|error| error.to_string())?;
        let mut request = Request::new(Method::GET, url);
        if let Some(path) = &self.token {
            let token = HeaderValue::try_from([b"Bearer ", read(path)?.trim_ascii()].concat());
            let mut token = token.map_err(|_| format!("{}: no token", path.display()))?;
            token.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, token);
        }
        fetch(&client, request).await
    }

    /// Starts to fetch and refresh the keys on the current tokio runtime.
    pub(super) fn start(&self, audience: &str) -> OtherIssuer {
        let audience = self.audience.as_deref().unwrap_or(audience);
        let policy = VerifierPolicy {
            longest_life: self.longest_life,
            ..VerifierPolicy::new(&self.issuer, [audience])
        };
        let trust = self.clone();
        OtherIssuer::start(policy, Box::new(move || Box::pin(trust.clone().keys())))
            .expect("an issuer and an audience")
    }
}

/// The public keys of this issuer in another region, as they were last fetched.
pub struct PeerKeys {
    /// The URL of the other region's JWKS, with the parameter [`OWN`].
    pub url: Url,
    keys: ArcSwapOption<(DateTime<Utc>, Vec<PublicKey>)>,
}

impl PeerKeys {
    /// The keys at this URL of the other region's JWKS. They are not fetched yet.
    pub fn at(url: &Url) -> Self {
        let mut url = url.clone();
        url.query_pairs_mut().append_key_only(OWN);
        Self {
            url,
            keys: ArcSwapOption::empty(),
        }
    }

    /// The keys; none if they were last fetched 24 h ago or earlier, as verifiers would not accept
    /// them either.
    pub fn keys(&self, now: DateTime<Utc>) -> Vec<PublicKey> {
        let read = self.keys.load_full().filter(|read| now - read.0 < BELIEVED);
        read.map(|read| read.1.clone()).unwrap_or_default()
    }

    /// Fetches the keys. If this fails, the previous keys stay, and the error says why. It is an
    /// error if all keys are in `own`, because then the URL leads to this region. If only some keys
    /// are unusable, the usable keys are taken, and the error names the first of the others.
    pub async fn fetch(
        &self,
        http: &Upstream,
        own: &HashSet<&str>,
        now: DateTime<Utc>,
    ) -> Result<(), String> {
        let set = fetch(http, Request::new(Method::GET, self.url.clone())).await?;
        if set.len() > MAX_PEER {
            return Err(format!(
                "its {} bytes of keys are more than {MAX_PEER}: retire old ones there",
                set.len()
            ));
        }
        let PublishedKeys { keys, refused } = usable(PublishedKeys::read(&set))?;
        if keys.iter().all(|key| own.contains(key.kid())) {
            return Err("these are this issuer's own keys: name an address that leads to the other region alone".into());
        }
        self.keys.store(Some(Arc::new((now, keys))));
        refused
            .first()
            .map_or(Ok(()), |error| Err(error.to_string()))
    }
}

/// The body of the response. Any status but 200 is an error.
async fn fetch(http: &Upstream, request: Request) -> Result<Vec<u8>, String> {
    let fetched = http
        .fetch(request)
        .await
        .map_err(|error| error.to_string())?;
    if fetched.status == 200 {
        Ok(fetched.body)
    } else {
        Err(format!("the answer is {}", fetched.status.as_u16()))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    // Checked first, because opening a pipe waits for a writer.
    let is_other = fs::metadata(path).is_ok_and(|it| !it.is_file());
    let file = if is_other {
        Err(io::Error::other("it is not a regular file"))
    } else {
        File::open(path)
    };
    let read = file.and_then(|file| file.take(MAX_FILE).read_to_end(&mut content));
    read.map(|_| content)
        .map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::{env::temp_dir, fs::remove_file, process, sync::mpsc::channel, thread};

    use super::*;

    /// With the keys that the other region publishes for this one, a key that is retired here would
    /// come back from there.
    #[test]
    fn the_other_region_is_asked_for_its_own_keys_alone() {
        for (url, asked) in [
            (
                "https://b.example/jwks.json",
                "https://b.example/jwks.json?own",
            ),
            (
                "https://b.example/jwks.json?region=b",
                "https://b.example/jwks.json?region=b&own",
            ),
        ] {
            let url = url.parse().expect("a URL");
            assert_eq!(PeerKeys::at(&url).url.as_str(), asked);
        }
    }

    /// An issuer that is away while a file is read again must not lock its services out.
    #[actix_web::test]
    async fn keys_that_were_fetched_are_kept_when_the_file_is_read_again() {
        let read = || {
            let members = [
                ("issuer", "https://cluster.example"),
                ("subject", "system:serviceaccount:shop:orders"),
                ("jwks", "https://127.0.0.1:1/keys"),
            ];
            let identity = ServiceIdentity::read(&members.into());
            identity.unwrap_or_else(|_| panic!("an identity"))
        };
        let issuers = Issuers::new("https://login.example.com".into());
        let held = || {
            let held = issuers.held.load();
            assert_eq!(held.len(), 1);
            held.values().next().map(Arc::as_ptr)
        };
        issuers.hold([read()].iter());
        let before = held();
        issuers.hold([read()].iter());
        assert_eq!(held(), before);
        issuers.hold([].iter());
        assert!(issuers.held.load().is_empty());
    }

    #[test]
    fn a_pipe_is_refused_without_waiting_for_a_writer() {
        let path = temp_dir().join(format!("wxmint-pipe-{}", process::id()));
        let made = process::Command::new("mkfifo")
            .arg(&path)
            .status()
            .expect("mkfifo");
        let (sender, read) = channel();
        let of_pipe = path.clone();
        thread::spawn(move || sender.send(super::read(&of_pipe)));
        let said = read.recv_timeout(Duration::from_secs(10));
        remove_file(&path).expect("our pipe");
        assert!(
            made.success()
                && said
                    .expect("an answer at once")
                    .expect_err("no file")
                    .contains("it is not a regular file")
        );
    }
}
