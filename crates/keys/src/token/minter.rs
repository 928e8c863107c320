//! Signs access tokens with the current signing key.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, Serializer};
use wxmint_ids::{AppId, TokenId, UserId, parsed, unprintable};
use wxmint_verify::{KeyError, TokenTyp};

use super::ExtraClaims;
use crate::{KeyRing, random, signing::encode};

/// A signed token: an access token or an id token of a user, or the token of one of our own
/// requests. It can be serialized into a response but not printed, because its holder can act as
/// the user, or send the request.
#[derive(Serialize)]
#[serde(transparent)]
pub struct SignedToken(pub(super) String);
unprintable!(SignedToken);

impl SignedToken {
    /// The token in its compact form. Never log it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// The claims that identify a token and by which it can be revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// `sub`
    #[serde(deserialize_with = "parsed")]
    pub user: UserId,
    /// `client_id`
    #[serde(deserialize_with = "parsed")]
    pub app: AppId,
    /// `jti`
    #[serde(deserialize_with = "parsed")]
    pub id: TokenId,
    /// `iat`, in seconds since 1970.
    pub issued_at: i64,
    /// `exp`, in seconds since 1970.
    pub expires_at: i64,
}

/// The claims of a new token (RFC 9068 section 2.2).
#[derive(Serialize)]
struct MintedClaims<'a> {
    iss: &'a str,
    sub: &'a UserId,
    #[serde(serialize_with = "one_or_several")]
    aud: &'a [String],
    client_id: &'a AppId,
    /// In seconds since 1970. Never in the future, because PyJWT and others allow no leeway for
    /// `iat`.
    iat: i64,
    exp: i64,
    jti: &'a TokenId,
    /// Other claims. None has one of the names above.
    #[serde(flatten)]
    extra: &'a ExtraClaims,
}

/// `aud`: one audience is a string, several are an array (RFC 7519 section 4.1.3).
fn one_or_several<S: Serializer>(audience: &&[String], serializer: S) -> Result<S::Ok, S::Error> {
    if let [one] = *audience {
        one.serialize(serializer)
    } else {
        audience.serialize(serializer)
    }
}

/// The random bytes of a `jti`.
pub(super) const RANDOM_LEN: usize = 16;
/// The bytes of the mark in a `jti`. With the random bytes they are a multiple of three, so that
/// base64url has no spare bits.
const MARK_LEN: usize = 5;

/// Signs the tokens of one issuer with the current signing key. All workers share it.
#[derive(Clone)]
pub struct Minter {
    pub(super) issuer: String,
    audience: Vec<String>,
    typ: &'static str,
    ttl: Duration,
    pub(super) keys: Arc<KeyRing>,
}

impl Minter {
    /// A minter for the tokens of `issuer`. `ttl` is the life of every token, from `iat` to `exp`.
    pub fn new(
        issuer: String,
        audience: Vec<String>,
        typ: TokenTyp,
        ttl: Duration,
        keys: Arc<KeyRing>,
    ) -> Self {
        Self {
            issuer,
            audience,
            typ: typ.as_str(),
            ttl,
            keys,
        }
    }

    /// The same minter with another audience, unless `audience` is empty, and another life, if
    /// `ttl` is given.
    pub fn with(&self, audience: &[String], ttl: Option<Duration>) -> Self {
        let audience = if audience.is_empty() {
            &self.audience
        } else {
            audience
        }
        .to_vec();
        Self {
            audience,
            ttl: ttl.unwrap_or(self.ttl),
            ..self.clone()
        }
    }

    /// The life of every token, from `iat` to `exp`.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Fails if no token could be signed at `now`. Call it before a login uses up anything, such as
    /// the login code.
    pub fn check(&self, now: DateTime<Utc>) -> Result<(), KeyError> {
        self.keys.set().accepted_signing(now).map(drop)
    }

    /// The claims of a new token that is issued at `at`; [`Minter::mint`] signs it.
    pub fn issued(&self, user: UserId, app: AppId, id: TokenId, at: DateTime<Utc>) -> Issued {
        let issued_at = at.timestamp();
        Issued {
            user,
            app,
            id,
            issued_at,
            expires_at: issued_at + self.ttl.as_secs() as i64,
        }
    }

    /// Whether this token of `binding` was revoked because all keys and all logins were
    /// ([`crate::StoredKeys::replace`]). `all_revoked_at` is 65 s after the replacement, because
    /// clocks differ. A token whose `jti` has the mark of a key in today's set was issued after the
    /// replacement, so it is not revoked.
    pub fn has_revoked_all(&self, token: &Issued, binding: &str) -> bool {
        Some(token.issued_at) <= self.keys.set().all_revoked_at
            && !self.is_marked(&token.id, binding)
    }

    /// A new `jti` for a token of this binding: 128 random bits, and a mark. `binding` is any text
    /// that identifies the binding.
    ///
    /// A token names its user and app, but not the openid. The mark lets this service find the
    /// binding among those of the user, so that a token acts on its own binding alone. It is an
    /// HMAC with a key that is derived from the signing key. The signing key stays in the set for
    /// as long as the token is valid. Without that key, nobody can tell which binding a mark
    /// belongs to.
    pub fn token_id(&self, binding: &str, now: DateTime<Utc>) -> Result<TokenId, KeyError> {
        let set = self.keys.set();
        let mut bytes = random::<{ RANDOM_LEN + MARK_LEN }>();
        let (random, its_mark) = bytes.split_at_mut(RANDOM_LEN);
        its_mark.copy_from_slice(&mark(&set.signing(now)?.marking, random, binding));
        Ok(URL_SAFE_NO_PAD
            .encode(*bytes)
            .parse()
            .expect("base64url is an allowed form"))
    }

    /// Whether a token with this `jti` was issued under this binding.
    pub fn is_marked(&self, id: &TokenId, binding: &str) -> bool {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(id.as_str()) else {
            return false;
        };
        let Some((random, given)) = bytes.split_at_checked(RANDOM_LEN) else {
            return false;
        };
        self.keys
            .set()
            .iter()
            .any(|key| mark(&key.marking, random, binding) == given)
    }

    /// Signs an access token that also has the claims `extra`. `now` chooses the signing key; it
    /// differs from `iat` if the store dates logins by its own clock.
    pub fn mint(
        &self,
        token: &Issued,
        extra: &ExtraClaims,
        now: DateTime<Utc>,
    ) -> Result<SignedToken, KeyError> {
        let Issued {
            user: sub,
            app: client_id,
            id: jti,
            issued_at: iat,
            expires_at: exp,
        } = token;
        let iss = &*self.issuer;
        let aud = &*self.audience;
        let claims = MintedClaims {
            iss,
            sub,
            aud,
            client_id,
            iat: *iat,
            exp: *exp,
            jti,
            extra,
        };
        sign(&self.keys, self.typ, &claims, now).map(SignedToken)
    }
}

fn mark(key: &hmac::Key, random: &[u8], binding: &str) -> [u8; MARK_LEN] {
    let mut context = hmac::Context::with_key(key);
    context.update(random);
    context.update(binding.as_bytes());
    let tag = context.sign();
    std::array::from_fn(|index| tag.as_ref()[index])
}

/// Signs a JWT with the key that signs at `at`. Fails if that key is revoked.
pub(super) fn sign(
    keys: &KeyRing,
    typ: &str,
    claims: &impl Serialize,
    at: DateTime<Utc>,
) -> Result<String, KeyError> {
    Ok(encode(keys.set().accepted_signing(at)?, typ, claims))
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use chrono::TimeDelta;
    use serde_json::{Map, Value};

    use super::*;
    use crate::{KeySet, PrivateJwk, SIGNED_WITH, StoredKeys};
    use wxmint_verify::Algorithm;

    fn minted(algorithm: Algorithm, audience: &[&str], extra: &ExtraClaims) -> (KeySet, String) {
        let now = DateTime::from_timestamp(1_700_000_000, 0).expect("a date");
        let jwk = PrivateJwk::generate(algorithm, now).expect("a key");
        let keys = StoredKeys::of([jwk]).check().expect("a set");
        let ring = Arc::new(KeyRing::new(keys.clone(), now).expect("a ring"));
        let audience = audience.iter().map(|&audience| audience.into()).collect();
        let day = Duration::from_hours(24);
        let minter = Minter::new(
            "https://a.example".into(),
            audience,
            TokenTyp::AccessToken,
            day,
            ring,
        );
        let (user, app) = (
            "user-1".parse().expect("a user"),
            "wx0123456789abcdef".parse().expect("an app"),
        );
        // The store dates the login, and its clock is behind ours.
        let (id, later) = ("jti-1".parse().expect("an id"), now + TimeDelta::seconds(9));
        let token = minter
            .mint(&minter.issued(user, app, id, now), extra, later)
            .expect("a token");
        (keys, token.expose().to_owned())
    }

    fn parts(token: &str) -> [Vec<u8>; 3] {
        let parts: Vec<_> = token
            .split('.')
            .map(|part| URL_SAFE_NO_PAD.decode(part).expect("base64url"))
            .collect();
        parts.try_into().expect("three parts")
    }

    #[test]
    fn header_and_claims_are_those_of_rfc_9068() {
        let (keys, token) = minted(
            Algorithm::Es256,
            &["https://api.example"],
            &ExtraClaims::default(),
        );
        let [header, claims, _] = parts(&token);
        let (header, claims): (Value, Value) = (
            serde_json::from_slice(&header).expect("JSON"),
            serde_json::from_slice(&claims).expect("JSON"),
        );
        let kid = keys.iter().next().expect("a key").public().kid();
        assert_eq!(
            header,
            serde_json::json!({"alg": "ES256", "typ": "at+jwt", "kid": kid})
        );
        let expected = serde_json::json!({
            "iss": "https://a.example", "sub": "user-1", "aud": "https://api.example",
            "client_id": "wx0123456789abcdef", "iat": 1_700_000_000, "exp": 1_700_086_400, "jti": "jti-1",
        });
        assert_eq!(claims, expected);
        // Otherwise an account backend could add a claim of ours a second time, with another value.
        let own = claims.as_object().expect("an object").keys();
        let is_free = |name: &&String| {
            ExtraClaims::try_from(Map::from_iter([((*name).clone(), Value::Null)])).is_ok()
        };
        assert_eq!(
            own.filter(is_free).collect::<Vec<_>>(),
            [""; 0],
            "REGISTERED names each claim of ours"
        );
    }

    #[test]
    fn the_account_backends_claims_stand_beside_the_tokens_own_each_name_once() {
        let extra =
            serde_json::json!({"roles": ["admin", "审核"], "tenant": "x", "Z": {"a": null}});
        let Value::Object(map) = extra.clone() else {
            unreachable!("an object")
        };
        let extra_claims = map.try_into().expect("claims");
        let [_, with, _] = parts(&minted(Algorithm::Es256, &["a"], &extra_claims).1);
        let [_, without, _] = parts(&minted(Algorithm::Es256, &["a"], &ExtraClaims::default()).1);
        let [with, without] =
            [with, without].map(|claims| String::from_utf8(claims).expect("UTF-8"));
        // The token's own claims are the same bytes, so no name of theirs can be there a second
        // time with another value.
        let own = without.strip_suffix('}').expect("an object");
        let added = with
            .strip_prefix(own)
            .and_then(|rest| rest.strip_prefix(','))
            .expect("the same beginning");
        assert_eq!(
            serde_json::from_str::<Value>(&format!("{{{added}")).expect("JSON"),
            extra
        );
    }

    #[test]
    fn several_audiences_are_an_array() {
        let [_, claims, _] =
            parts(&minted(Algorithm::EdDsa, &["a", "b"], &ExtraClaims::default()).1);
        let claims: Value = serde_json::from_slice(&claims).expect("JSON");
        assert_eq!(claims["aud"], serde_json::json!(["a", "b"]));
    }

    #[test]
    fn the_published_key_verifies_a_token_of_each_algorithm_and_no_other_message() {
        for algorithm in SIGNED_WITH {
            let (keys, token) = minted(algorithm, &["a"], &ExtraClaims::default());
            let key = keys.iter().next().expect("a key").public();
            let message = token.rsplit_once('.').expect("a signature").0.as_bytes();
            let [header, _, signature] = parts(&token);
            let header: Value = serde_json::from_slice(&header).expect("JSON");
            assert_eq!(header["alg"], algorithm.name());
            assert!(key.verifies(message, &signature), "{algorithm}");
            assert!(!key.verifies(&message[1..], &signature), "{algorithm}");
        }
    }

    #[test]
    fn a_signed_token_is_not_printed() {
        assert_eq!(format!("{:?}", SignedToken("eyJ".into())), "SignedToken(…)");
    }

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).expect("a date")
    }

    fn keys(algorithm: Algorithm) -> KeySet {
        let jwk = PrivateJwk::generate(algorithm, now()).expect("a key");
        StoredKeys::of([jwk]).check().expect("a set")
    }

    fn minter(keys: KeySet) -> Minter {
        let ring = Arc::new(KeyRing::new(keys, now()).expect("a ring"));
        Minter::new(
            "https://a.example".into(),
            vec!["a".into()],
            TokenTyp::AccessToken,
            Duration::from_mins(1),
            ring,
        )
    }

    #[test]
    fn a_mark_is_of_one_binding_alone_and_every_replica_knows_it() {
        for algorithm in crate::SIGNED_WITH {
            let keys = keys(algorithm);
            let id = minter(keys.clone())
                .token_id("wx1:o1:3", now())
                .expect("an id");
            assert_eq!(
                URL_SAFE_NO_PAD
                    .decode(id.as_str())
                    .expect("base64url")
                    .len(),
                RANDOM_LEN + MARK_LEN
            );
            let replica = minter(keys);
            assert!(replica.is_marked(&id, "wx1:o1:3"), "{algorithm}");
            for other in ["wx1:o1:4", "wx1:o2:3"] {
                assert!(!replica.is_marked(&id, other), "{other}");
            }
        }
    }

    /// Redis dates the logins, and a command on another machine dates the revocation.
    #[test]
    fn an_end_of_all_logins_names_those_whose_keys_are_gone_although_clocks_differ_by_a_minute() {
        let [old, new] =
            [(); 2].map(|()| PrivateJwk::generate(Algorithm::Es256, now()).expect("a key"));
        let mut stored = StoredKeys::of([old]);
        let [before, other] = [(); 2].map(|()| minter(stored.check().expect("a set")));
        let given = |by: &Minter, later| {
            let id = by.token_id("wx1:o1:1", now()).expect("an id");
            by.issued(
                "user-1".parse().expect("a user"),
                "wx1".parse().expect("an app"),
                id,
                now() + TimeDelta::seconds(later),
            )
        };
        let (first, last, much_later) =
            (given(&before, 1), given(&other, 65), given(&other, 86_400));
        stored.replace(new, now() + TimeDelta::seconds(1));
        let after = minter(stored.check().expect("a set"));
        let is_revoked = |token: &Issued| after.has_revoked_all(token, "wx1:o1:1");
        assert!(
            is_revoked(&first) && is_revoked(&last),
            "up to a minute later, by a replica that has the old file"
        );
        assert!(!is_revoked(&much_later), "its key was rotated out since");
        assert!(
            !is_revoked(&given(&after, 1)) && !is_revoked(&given(&after, -50)),
            "nobody waits for the clocks"
        );
        assert!(
            !before.has_revoked_all(&first, "wx1:o1:1"),
            "nothing is revoked"
        );
    }

    #[test]
    fn a_mark_of_each_key_of_the_set_is_known_through_a_rotation() {
        let [old, new] = [0, 1000].map(|later| {
            PrivateJwk::generate(Algorithm::Es256, now() + TimeDelta::seconds(later))
                .expect("a key")
        });
        let both = minter(KeySet::parse(&StoredKeys::of(&[old, new]).content()).expect("a set"));
        for later in [999, 1000] {
            let id = both
                .token_id("wx1:o1:1", now() + TimeDelta::seconds(later))
                .expect("an id");
            assert!(
                both.is_marked(&id, "wx1:o1:1") && !both.is_marked(&id, "wx1:o1:2"),
                "{later}"
            );
        }
    }

    #[test]
    fn ids_differ_and_a_foreign_one_is_nobodys() {
        let (ours, theirs) = (
            minter(keys(Algorithm::Es256)),
            minter(keys(Algorithm::Es256)),
        );
        let [one, other] = [(); 2].map(|()| ours.token_id("wx1:o1:1", now()).expect("an id"));
        assert_ne!(one, other);
        let its_mark = |id: &TokenId| {
            URL_SAFE_NO_PAD
                .decode(id.as_str())
                .expect("base64url")
                .split_off(RANDOM_LEN)
        };
        assert_ne!(
            its_mark(&one),
            its_mark(&other),
            "nobody sees by the marks that two tokens are of one binding"
        );
        assert!(!theirs.is_marked(&one, "wx1:o1:1"), "another issuer's key");
        for foreign in ["x", "AAAAAAAAAAAAAAAAAAAAAA", "no-base64!"] {
            assert!(
                !ours.is_marked(&foreign.parse().expect("an id"), "wx1:o1:1"),
                "{foreign}"
            );
        }
    }
}
