//! The documents that verifiers fetch: the public keys, and the metadata that says where the keys
//! are.

use std::{collections::HashSet, sync::Arc, time::Duration};

use actix_web::http::header::{self, EntityTag, IfNoneMatch};
use actix_web::web::{self, Header};
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use serde_json::{Map, json};
use wxmint_http::Answer;
use wxmint_keys::rotation::max_age;
use wxmint_store::short_digest;
use wxmint_upstream::Upstream;
use wxmint_verify::{Algorithm, PublicKey, PublicKeySet};

use super::{Issuer, state::IssuerWorker};
use crate::clock::now;
use crate::identities::OWN;
use crate::revocation::feed::{ALL_REVOKED, route::later};

/// How often the JWKS of peers is fetched. Less than any useful prepublication time, so that a new
/// key is published here before the peer signs with it.
const PEERS_INTERVAL: Duration = Duration::from_secs(30);
const PEERS_WITHIN: Duration = Duration::from_secs(5);

/// The public keys (RFC 7517)
///
/// The answer has an `ETag`, and a `max-age` that ends no later than the next key's first
/// signature.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "keys", responses(
    (status = 200, description = "A JWK Set", content_type = "application/jwk-set+json"),
    (status = 304, description = "The caller's copy still holds"),
))]
pub(super) async fn jwks(
    request: HttpRequest,
    held: Option<Header<IfNoneMatch>>,
    worker: web::Data<IssuerWorker>,
) -> Answer {
    let now = now();
    let issuer = &worker.issuer;
    let jwks = issuer
        .published(now, request.query_string() != OWN)
        .ok_or_else(|| later(ALL_REVOKED))?;
    let etag = format!("\"{}\"", short_digest(&jwks));
    let lead = TimeDelta::from_std(issuer.settings.key_prepublish).unwrap_or(TimeDelta::MAX);
    let max_age = max_age(&issuer.keys.set().lives, lead, now).num_seconds();
    // Weak comparison, as RFC 9110 section 13.1.2 asks of `If-None-Match`.
    let known = held.is_some_and(|held| match &*held {
        IfNoneMatch::Any => true,
        IfNoneMatch::Items(held) => etag
            .parse::<EntityTag>()
            .is_ok_and(|own| held.iter().any(|tag| tag.weak_eq(&own))),
    });
    let mut response = if known {
        HttpResponse::NotModified()
    } else {
        HttpResponse::Ok()
    };
    response
        .insert_header((header::ETAG, etag))
        .insert_header((header::CACHE_CONTROL, format!("public, max-age={max_age}")))
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"));
    Ok(if known {
        response.finish()
    } else {
        response.content_type("application/jwk-set+json").body(jwks)
    })
}

/// The issuer's metadata (OpenID Connect Discovery 1.0, RFC 8414)
#[utoipa::path(get, path = "/.well-known/openid-configuration", tag = "keys", responses(
    (status = 200, description = "The issuer's metadata; also at /.well-known/oauth-authorization-server",
     body = serde_json::Value),
))]
pub(super) async fn metadata(worker: web::Data<IssuerWorker>) -> HttpResponse {
    let issuer = worker.issuer.settings.issuer.as_str();
    // Verifiers require these. The Kubernetes API server's service-account issuer publishes the
    // same ones.
    let own = json!({
        // Equals the token's `iss` byte for byte (RFC 8414 section 3.3).
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "revocation_feed_uri": format!("{issuer}/revocations"),
        "id_token_signing_alg_values_supported": worker.issuer.algorithms(now()),
        "subject_types_supported": ["public"],
        "response_types_supported": ["id_token"],
        "service_documentation": format!("{issuer}/docs"),
    });
    let of_doors = worker
        .issuer
        .doors
        .iter()
        .map(|open| open.door.metadata(&worker.issuer));
    // A member of a door replaces an earlier member of the same name.
    let metadata = [own, worker.issuer.token_metadata()]
        .into_iter()
        .chain(of_doors)
        .filter_map(|members| members.as_object().cloned())
        .flatten();
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "public, max-age=300"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .json(metadata.collect::<Map<_, _>>())
}

/// Publishes the public keys of issuers in other regions beside this issuer's, so that a verifier
/// accepts the tokens of all of them. This issuer itself neither signs with these keys nor accepts
/// tokens of other regions.
impl Issuer {
    /// The JWKS without revoked keys, however long ago they were revoked. The keys of peers follow
    /// the own keys. If two keys have the same id, the first one is published. `None` if all own
    /// keys are revoked: verifiers keep the set that they have.
    fn published(&self, now: DateTime<Utc>, joins_peers: bool) -> Option<String> {
        let peers = if joins_peers {
            self.keys_of_peers(now)
        } else {
            Vec::new()
        };
        let own = self.keys.set();
        let mut kids = HashSet::new();
        own.accepted(now).next()?;
        let keys = own
            .visible(now)
            .chain(&peers)
            .filter(|key| kids.insert(key.kid()) && !own.is_revoked(key.kid()));
        Some(serde_json::to_string(&keys.collect::<PublicKeySet<'_>>()).expect("strings serialize"))
    }

    fn algorithms(&self, now: DateTime<Utc>) -> Vec<&'static str> {
        let own = self.keys.set();
        let peers = self.keys_of_peers(now);
        Algorithm::ALL
            .iter()
            .filter(|it| {
                own.visible(now)
                    .chain(&peers)
                    .any(|key| key.algorithm() == **it)
            })
            .map(|algorithm| algorithm.name())
            .collect()
    }

    pub(super) fn keys_of_peers(&self, now: DateTime<Utc>) -> Vec<PublicKey> {
        self.peers.iter().flat_map(|peer| peer.keys(now)).collect()
    }

    pub(super) async fn follow_peers(self: Arc<Self>) {
        loop {
            actix_web::rt::time::sleep(PEERS_INTERVAL).await;
            self.read_peers().await;
        }
    }

    /// Reads the sets of all peers at the same time. A set that cannot be read stays as it was for
    /// a day.
    pub(super) async fn read_peers(&self) {
        let Some(_) = self.peers.first() else { return };
        let Ok(http) = Upstream::new(&self.tls, PEERS_WITHIN, PEERS_WITHIN) else {
            return;
        };
        let set = self.keys.set();
        let now = now();
        let own: HashSet<_> = set.visible(now).map(PublicKey::kid).collect();
        let read = join_all(
            self.peers
                .iter()
                .map(async |peer| (&peer.url, peer.fetch(&http, &own, now).await)),
        )
        .await;
        let faults = read
            .into_iter()
            .filter_map(|(at, it)| Some(format!("{}: {}", at.host_str()?, it.err()?)));
        let faults = faults.reduce(|all, next| all + "; " + &next);
        let warning = faults.map(|why| {
            format!("WXMINT_JWKS_PEERS: keys are not published, or for 24 h as they were: {why}")
        });
        if self.readiness.warns("jwks_peers", warning.as_deref()) {
            tracing::warn!(warning, "keys of peers");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::{iter, net::TcpListener, thread};

    use wxmint_keys::PrivateJwk;

    use super::super::caller::tests::issuer;
    use super::*;

    /// A peer that answers requests with these JWK Sets, one after the other, and all further
    /// requests with the last set. Returns the peer's URL.
    fn peer<const N: usize>(sets: [String; N]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/jwks.json", listener.local_addr().expect("bound"));
        thread::spawn(move || {
            let last = sets[N - 1].clone();
            for (mut stream, set) in listener
                .incoming()
                .flatten()
                .zip(sets.into_iter().chain(iter::repeat(last)))
            {
                let _ = stream.read(&mut [0; 4096]);
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    set.len()
                );
                stream
                    .write_all((head + &set).as_bytes())
                    .expect("answered");
            }
        });
        url
    }

    #[actix_web::test]
    async fn a_key_of_a_peer_is_published_until_it_is_revoked_here_or_the_peer_has_been_away_for_a_day()
     {
        let key = |algorithm| {
            PrivateJwk::generate(algorithm, now() - TimeDelta::hours(1)).expect("a key")
        };
        let [own, revoked, other] = [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256].map(key);
        let set = |key: &PrivateJwk| {
            issuer(key, ("WXMINT_TOKEN_TTL", "1h"))
                .published(now(), true)
                .expect("a set")
        };
        let keys = [&revoked, &other].map(|key| {
            set(key)["{\"keys\":[".len()..]
                .trim_end_matches("]}")
                .to_owned()
        });
        let url = peer([format!("{{\"keys\":[{}]}}", keys.join(","))]);
        let issuer = issuer(&own, ("WXMINT_JWKS_PEERS", &url));
        let published = |at, joins| {
            let set = issuer.published(at, joins).expect("a set");
            [&own, &revoked, &other].map(|key| set.contains(key.kid()))
        };
        issuer.read_peers().await;
        assert_eq!(
            (published(now(), true), published(now(), false)),
            ([true; 3], [true, false, false])
        );

        let store = issuer.store();
        store
            .revocations
            .revoke_key(revoked.kid())
            .await
            .expect("revoked");
        let found = issuer
            .learn_revoked_keys(&store, now())
            .await
            .expect("asked");
        assert_eq!(found, None, "nothing is to be mended here");
        assert_eq!(published(now(), true), [true, false, true]);
        issuer.read_peers().await;
        assert_eq!(
            published(now(), true),
            [true, false, true],
            "the peer has it still"
        );
        let later = |minutes| published(now() + TimeDelta::minutes(minutes), true);
        assert_eq!(
            [later(24 * 60 - 1), later(24 * 60)],
            [[true, false, true], [true, false, false]]
        );
        let algorithms = |days| issuer.algorithms(now() + TimeDelta::days(days));
        assert_eq!(
            (algorithms(0), algorithms(1)),
            (vec!["ES256", "EdDSA", "RS256"], vec!["ES256"])
        );
    }

    #[actix_web::test]
    async fn a_peer_with_too_many_keys_leaves_the_set_readable_for_verifiers() {
        let key =
            || PrivateJwk::generate(Algorithm::Es256, now() - TimeDelta::hours(1)).expect("a key");
        let own = key();
        let many = std::iter::repeat_with(|| {
            let set = issuer(&key(), ("WXMINT_TOKEN_TTL", "1h"))
                .published(now(), false)
                .expect("a set");
            set["{\"keys\":[".len()..].trim_end_matches("]}").to_owned()
        });
        let url = peer([format!(
            "{{\"keys\":[{}]}}",
            many.take(80).collect::<Vec<_>>().join(",")
        )]);
        let issuer = issuer(&own, ("WXMINT_JWKS_PEERS", &url));
        issuer.read_peers().await;
        assert_eq!(
            issuer.published(now(), true),
            issuer.published(now(), false)
        );
        let http = Upstream::new(&issuer.tls, PEERS_WITHIN, PEERS_WITHIN).expect("a client");
        let refused = issuer.peers[0]
            .fetch(&http, &HashSet::new(), now())
            .await
            .expect_err("too many");
        assert!(refused.contains("bytes of keys are more than"), "{refused}");
    }

    #[actix_web::test]
    async fn a_peer_whose_address_leads_here_takes_no_key_away() {
        let key =
            || PrivateJwk::generate(Algorithm::Es256, now() - TimeDelta::hours(1)).expect("a key");
        let (own, other) = (key(), key());
        let set = |key: &PrivateJwk| {
            issuer(key, ("WXMINT_TOKEN_TTL", "1h"))
                .published(now(), true)
                .expect("a set")
        };
        let issuer = issuer(&own, ("WXMINT_JWKS_PEERS", &peer([set(&other), set(&own)])));
        let http = Upstream::new(&issuer.tls, PEERS_WITHIN, PEERS_WITHIN).expect("a client");
        let fetch = async || {
            issuer.peers[0]
                .fetch(&http, &HashSet::from([own.kid()]), now())
                .await
        };
        assert_eq!(fetch().await, Ok(()));
        assert!(
            fetch()
                .await
                .is_err_and(|said| said.contains("this issuer's own keys"))
        );
        assert!(
            issuer
                .published(now(), true)
                .is_some_and(|set| set.contains(other.kid()))
        );
    }
}
