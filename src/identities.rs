//! Services that show who they are by a token of an issuer of another make, in place of a secret: of a Kubernetes
//! ServiceAccount, a SPIFFE JWT-SVID, or a client's own assertion (RFC 7523).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, Request, Url};
use serde::Deserialize;
use wxmint_http::{Problem, ProblemCode};
use wxmint_telemetry::bounded;
use wxmint_upstream::{Tls, Upstream};
use wxmint_verify::peer::{NotVerified, OtherIssuer};
use wxmint_verify::{Identity, PublishedKeys, Refused, UnverifiedIssuer, Verified, VerifierPolicy};

use crate::clock::now;
use crate::findings::{Finding, Said, count, usable};
use crate::sites::is_secure;

/// The longest life of a token. A projected ServiceAccount token lives for an hour, unless its pod asks otherwise.
const LONGEST_LIFE: Duration = Duration::from_secs(86_400);
/// The longest life of a client's assertion, which it makes for one request.
pub(crate) const LONGEST_ASSERTION: Duration = Duration::from_secs(300);
/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 64 << 10;
const CONNECT: Duration = Duration::from_secs(2);
const TOTAL: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_secs(1);

/// The words of a file that name an identity.
pub(crate) const MEMBERS: [&str; 6] = ["issuer", "subject", "audience", "jwks", "ca", "token"];

/// A service, by the tokens that show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceIdentity {
    /// `sub`, such as `system:serviceaccount:shop:orders`.
    pub(crate) subject: String,
    trust: Trust,
}

/// The tokens of an issuer for an audience, and where its keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Trust {
    issuer: String,
    /// `None`: that of [`Issuers`].
    audience: Option<String>,
    longest_life: Duration,
    keys: Place,
    /// Trusted in place of the system's roots.
    ca: Option<PathBuf>,
    /// A file with a bearer token for the URL of the keys, which a Kubernetes API server wants.
    token: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// The `jwks_uri` of the metadata at this URL (OpenID Connect Discovery 1.0 section 4).
    Metadata(Url),
    Url(Url),
    File(PathBuf),
    Given(String),
}

type Members<'a> = BTreeMap<&'static str, &'a str>;

impl ServiceIdentity {
    /// Reads what a file says of an identity. An error names the member that is wrong.
    pub(crate) fn read(members: &Members<'_>) -> Result<Self, (&'static str, Said)> {
        let text = |name, wrong: Said| members.get(name).filter(|text| !text.is_empty()).ok_or((name, wrong));
        let path = |name| match members.get(name) {
            Some(path) if !path.starts_with('/') => Err((name, said!(must_be_absolute_path))),
            path => Ok(path.map(PathBuf::from)),
        };
        let issuer = *text("issuer", said!(must_be_iss_of_tokens))?;
        let subject = text("subject", said!(must_be_sub_of_tokens))?.to_string();
        let metadata = [issuer.trim_end_matches('/'), "/.well-known/openid-configuration"].concat();
        let keys = match members.get("jwks").copied() {
            None => Place::Metadata(secure(&metadata).ok_or(("issuer", said!(must_be_https_or_have_jwks)))?),
            Some(path) if path.starts_with('/') => Place::File(path.into()),
            Some(set) if set.starts_with('{') => {
                usable(PublishedKeys::read_of_others(set.as_bytes())).map_err(|wrong| ("jwks", wrong))?;
                Place::Given(set.to_owned())
            }
            Some(url) => Place::Url(secure(url).ok_or(("jwks", said!(must_be_https_url_or_path)))?),
        };
        let (ca, token) = (path("ca")?, path("token")?);
        if token.is_some() && !matches!(keys, Place::Url(_)) {
            return Err(("token", said!(is_sent_to_url_of_jwks_alone)));
        }
        let audience = members.get("audience").map(|audience| audience.to_string());
        let trust = Trust { issuer: issuer.to_owned(), audience, longest_life: LONGEST_LIFE, keys, ca, token };
        Ok(Self { subject, trust })
    }

    /// The same for assertions that a client makes itself, one for each request.
    pub(crate) fn making_assertions(mut self) -> Self {
        self.trust.longest_life = LONGEST_ASSERTION;
        self
    }

    pub(crate) fn makes_assertions(&self) -> bool {
        self.trust.longest_life == LONGEST_ASSERTION
    }

    /// Whether the other has the same issuer and subject.
    pub(crate) fn is(&self, other: &Self) -> bool {
        (&self.trust.issuer, &self.subject) == (&other.trust.issuer, &other.subject)
    }
}

fn secure(url: &str) -> Option<Url> {
    url.parse().ok().filter(is_secure)
}

fn read_file(path: &Path) -> Result<Vec<u8>, Said> {
    let mut content = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut content));
    read.map(|_| content).map_err(|error| said!("{}: {}", path.display(), error))
}

impl Trust {
    /// Fetches the keys.
    async fn keys(&self) -> Result<PublishedKeys, Said> {
        #[derive(Deserialize)]
        struct Metadata {
            issuer: String,
            jwks_uri: String,
        }
        let set = match &self.keys {
            Place::Given(set) => set.clone().into_bytes(),
            Place::File(path) => read_file(path)?,
            Place::Url(url) => self.get(url.clone()).await?,
            Place::Metadata(url) => {
                let found: Metadata =
                    serde_json::from_slice(&self.get(url.clone()).await?).map_err(|_| said!(no_metadata_of_issuer))?;
                if found.issuer != self.issuer {
                    return Err(said!(it_names_another_issuer));
                }
                let no_url = || said!("`jwks_uri` {}", said!(is_not_https_url));
                self.get(secure(&found.jwks_uri).ok_or_else(no_url)?).await?
            }
        };
        usable(PublishedKeys::read_of_others(&set))
    }

    /// The files are read each time, because Kubernetes replaces them.
    async fn get(&self, url: Url) -> Result<Vec<u8>, Said> {
        let tls = match &self.ca {
            Some(path) => Tls::trusting(&read_file(path)?),
            None => Tls::reaching([&url]),
        };
        let client = tls.and_then(|tls| Upstream::new(&tls, CONNECT, TOTAL)).map_err(Said::of)?;
        let mut request = Request::new(Method::GET, url);
        if let Some(path) = &self.token {
            let token = [b"Bearer ", read_file(path)?.trim_ascii()].concat();
            let mut token =
                HeaderValue::try_from(token).map_err(|_| said!("{}: {}", path.display(), said!(no_token)))?;
            token.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, token);
        }
        let fetched = client.fetch(request).await.map_err(|error| Said::from(&error))?;
        match fetched.status.as_u16() {
            200 => Ok(fetched.body),
            status => Err(said!(answer_has_status, status)),
        }
    }

    fn start(&self, audience: &str) -> OtherIssuer {
        let audience = self.audience.as_deref().unwrap_or(audience);
        let policy =
            VerifierPolicy { longest_life: self.longest_life, ..VerifierPolicy::new(&self.issuer, [audience]) };
        let trust = self.clone();
        let fetch = move || {
            let trust = trust.clone();
            Box::pin(async move { trust.keys().await.map_err(String::from) }) as _
        };
        OtherIssuer::start(policy, Box::new(fetch)).expect("an issuer and an audience")
    }
}

/// The issuers whose keys are held, for tokens of an audience.
pub(crate) struct Issuers {
    audience: String,
    held: ArcSwap<Vec<(Trust, Arc<OtherIssuer>)>>,
}

impl Issuers {
    pub(crate) fn new(audience: String) -> Self {
        Self { audience, held: ArcSwap::default() }
    }

    /// Holds the keys of these services' issuers from now on, and of no others. Runs on the current runtime.
    pub(crate) fn hold<'a>(&self, services: impl Iterator<Item = &'a ServiceIdentity>) {
        let before = self.held.load_full();
        let mut held: Vec<(Trust, Arc<OtherIssuer>)> = Vec::new();
        for ServiceIdentity { trust, .. } in services {
            let of = |held: &[(Trust, Arc<OtherIssuer>)]| held.iter().find(|(other, _)| other == trust).cloned();
            if of(&held).is_none() {
                held.push(of(&before).unwrap_or_else(|| (trust.clone(), Arc::new(trust.start(&self.audience)))));
            }
        }
        self.held.store(Arc::new(held));
    }

    /// Finds the service that the token is of. `None` if it is of none of these; the log says why.
    pub(crate) async fn find<'a, Service>(
        &self,
        token: &str,
        services: impl Iterator<Item = (Service, &'a ServiceIdentity)>,
    ) -> Result<Option<(Service, Verified<Identity>)>, Problem> {
        let Ok(issuer) = UnverifiedIssuer::of(token) else { return Ok(None) };
        let held = self.held.load_full();
        for (service, ServiceIdentity { subject, trust }) in services {
            if trust.issuer != issuer.as_str() {
                continue;
            }
            let judged = match held.iter().find(|(other, _)| other == trust) {
                Some((_, keys)) => keys.identify(token, subject, now()).await,
                None => Err(NotVerified::NoKeys),
            };
            match judged {
                Ok(identity) => return Ok(Some((service, identity))),
                Err(NotVerified::Refused(Refused::Subject)) => {}
                Err(NotVerified::Refused(reason)) => {
                    bounded!(info, &format!("{subject} {reason}"), %reason, subject, "the token of a service is refused");
                }
                Err(_) => {
                    let detail = "The keys of the token's issuer are not known at the moment. Try again.";
                    return Err(Problem::new(ProblemCode::KeysUnavailable, detail).retry_after(AGAIN));
                }
            }
        }
        Ok(None)
    }
}

/// What the doctor says of the keys of these services' issuers.
pub(crate) async fn examine(check: &'static str, services: impl Iterator<Item = &ServiceIdentity>) -> Vec<Finding> {
    let mut trusts: Vec<&Trust> = Vec::new();
    for ServiceIdentity { trust, .. } in services {
        if !trusts.contains(&trust) {
            trusts.push(trust);
        }
    }
    let looks = trusts.into_iter().map(async |trust| match trust.keys().await {
        Ok(found) => {
            Finding::ok(check, said!(issuer_has_keys, trust.issuer, count(found.keys.len(), ["key", "个密钥"])))
        }
        Err(why) => Finding::warning(check, said!(issuers_keys_are_not_had, trust.issuer, why), said!(reach_issuer)),
    });
    join_all(looks).await
}
