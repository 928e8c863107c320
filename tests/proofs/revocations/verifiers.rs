//! Verifiers that use the library's own feed, and the keys with which wxmint signs pages.

use std::sync::Arc;

use wxmint_keys::{KeyRing, PrivateJwk, StoredKeys, token::Minter};
use wxmint_verify::revocations::{PageRefused, RevocationFeed, RevocationsPage};
use wxmint_verify::{Algorithm, PublicKeySet, PublishedKeys, TokenTyp};

use crate::{Millis, SECOND, at};

pub(crate) const ISSUER: &str = "https://login.example.com";

/// Two keys: the second signs once the first has been revoked.
pub(crate) struct Keys {
    minters: Vec<Minter>,
    pub(crate) kids: Vec<String>,
    published: PublishedKeys,
}

impl Keys {
    pub(crate) fn new() -> Self {
        let mut keys = Self {
            minters: Vec::new(),
            kids: Vec::new(),
            published: PublishedKeys {
                keys: Vec::new(),
                refused: Vec::new(),
            },
        };
        for _ in 0..2 {
            let key = PrivateJwk::generate(Algorithm::EdDsa, at(0)).expect("a key");
            keys.kids.push(key.kid().to_owned());
            let set = StoredKeys::of([key]).check().expect("a set");
            let jwks = serde_json::to_vec(&set.visible(at(0)).collect::<PublicKeySet<'_>>())
                .expect("JSON");
            keys.published
                .keys
                .extend(PublishedKeys::read(&jwks).expect("a set").keys);
            let ring = KeyRing::new(set, at(0)).expect("a ring");
            let life = std::time::Duration::from_hours(1);
            keys.minters.push(Minter::new(
                ISSUER.into(),
                Vec::new(),
                TokenTyp::AccessToken,
                life,
                Arc::new(ring),
            ));
        }
        keys
    }

    pub(crate) fn sign(&self, key: usize, page: &RevocationsPage) -> String {
        self.minters[key].sign_page(page, at(0)).expect("signed")
    }
}

pub(crate) struct Verifier {
    pub(crate) feed: RevocationFeed,
    /// Its clock shows so much beyond the true time.
    pub(crate) clock: Millis,
    pub(crate) next_poll: Millis,
    /// Since when every poll was answered by wxmint.
    pub(crate) calm_since: Millis,
    /// It must know every revocation that was answered until then.
    pub(crate) heard: Millis,
}

impl Verifier {
    /// One that has just started, and holds nothing.
    pub(crate) fn start(clock: Millis, now: Millis) -> Self {
        Self {
            feed: RevocationFeed::of(ISSUER),
            clock,
            next_poll: now,
            calm_since: now,
            heard: Millis::MIN,
        }
    }

    pub(crate) fn accept(
        &mut self,
        page: &str,
        keys: &Keys,
        now: Millis,
    ) -> Result<bool, PageRefused> {
        self.feed
            .accept(page, &keys.published, at(now + self.clock))
    }

    /// How old it says that its knowledge is.
    pub(crate) fn age(&self, now: Millis) -> Option<Millis> {
        self.feed
            .revocations()
            .age(at(now + self.clock))
            .map(|age| age.num_milliseconds())
    }

    pub(crate) fn disturb(&mut self, now: Millis) {
        self.calm_since = now;
    }

    /// After so long an undisturbed feed knows what was answered before.
    pub(crate) fn hear(&mut self, now: Millis) {
        const PROMISED: Millis = 10 * SECOND;
        if now - self.calm_since >= PROMISED {
            self.heard = self.heard.max(now - PROMISED);
        }
    }
}
