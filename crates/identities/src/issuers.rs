//! The issuers whose keys are held, and the service that a token is of.

use std::sync::Arc;

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use wxmint_verify::peer::{NotVerified, OtherIssuer};
use wxmint_verify::{Identity, Refused, UnverifiedIssuer, Verified};

use super::{ServiceIdentity, Trust};

type Held = Vec<(Trust, Arc<OtherIssuer>)>;

/// The issuers whose keys are held, for tokens of an audience.
pub struct Issuers {
    audience: String,
    held: ArcSwap<Held>,
}

impl Issuers {
    /// Holds no keys yet.
    pub fn new(audience: String) -> Self {
        Self { audience, held: ArcSwap::default() }
    }

    /// Holds the keys of these services' issuers from now on, and of no others. Fetches on the current tokio runtime,
    /// which must live as long as this value.
    pub fn hold<'a>(&self, services: impl Iterator<Item = &'a ServiceIdentity>) {
        let (before, mut held) = (self.held.load_full(), Held::new());
        for ServiceIdentity { trust, .. } in services {
            let find = |held: &Held| held.iter().find(|(other, _)| other == trust).cloned();
            if find(&held).is_none() {
                held.push(find(&before).unwrap_or_else(|| (trust.clone(), Arc::new(trust.start(&self.audience)))));
            }
        }
        self.held.store(Arc::new(held));
    }

    /// Finds the service that the token is of; `None` if none has its issuer and subject. The error says what else is
    /// wrong with the token, or that its issuer's keys are not known at the moment.
    pub async fn find<'a, Service>(
        &self,
        token: &str,
        services: impl Iterator<Item = (Service, &'a ServiceIdentity)>,
        now: DateTime<Utc>,
    ) -> Result<Option<(Service, Verified<Identity>)>, NotVerified> {
        let Ok(issuer) = UnverifiedIssuer::of(token) else { return Ok(None) };
        let held = self.held.load_full();
        for (service, ServiceIdentity { subject, trust }) in services {
            if trust.issuer != issuer.as_str() {
                continue;
            }
            let (_, keys) = held.iter().find(|(other, _)| other == trust).ok_or(NotVerified::NoKeys)?;
            match keys.identify(token, subject, now).await {
                Err(NotVerified::Refused(Refused::Subject)) => {}
                judged => return judged.map(|identity| Some((service, identity))),
            }
        }
        Ok(None)
    }
}

/// Looks at each issuer's keys: how many there are, or why they cannot be had.
pub async fn examine<'a>(
    services: impl Iterator<Item = &'a ServiceIdentity>,
) -> Vec<(&'a String, Result<usize, String>)> {
    let mut trusts: Vec<&Trust> = Vec::new();
    for ServiceIdentity { trust, .. } in services {
        if !trusts.contains(&trust) {
            trusts.push(trust);
        }
    }
    let look = async |trust: &'a Trust| (&trust.issuer, trust.keys().await.map(|found| found.keys.len()));
    join_all(trusts.into_iter().map(look)).await
}
