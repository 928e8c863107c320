//! Verifies the token of a request, which this issuer must have signed.

use actix_web::HttpRequest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde_json::Value;
use wxmint_http::{Problem, bearer_token, refused_token};
use wxmint_keys::KeySet;
use wxmint_verify::{Claims, Refused, Verified, Verifier, VerifierPolicy};

use super::Issuer;
use crate::{login::is_of_client, settings::Settings};

/// Accepts the tokens of the current settings and of earlier ones. A token needs only one of
/// today's audiences, because others may have been added since, and may live as long as any setting
/// allows, because the lifetime may have been shortened. After a change of `WXMINT_TOKEN_TYP` from
/// `JWT` everybody must log in again, which mini programs do by themselves.
pub(super) fn verifier(settings: &Settings, audiences: Vec<String>) -> Verifier {
    let policy = VerifierPolicy {
        typ: settings.token_typ,
        ..VerifierPolicy::new(settings.issuer.as_str(), audiences)
    };
    Verifier::new(policy).expect("settings have an issuer and an audience")
}

impl Issuer {
    /// Returns the claims of the request's token, if this issuer signed it and it is valid at
    /// `now`. Only the log says which check a refused token failed.
    pub fn verify(
        &self,
        request: &HttpRequest,
        now: DateTime<Utc>,
    ) -> Result<Verified<Claims>, Problem> {
        let token = bearer_token(request)?;
        let keys = self.keys.set();
        let verified = match self.verifier.verify(token, &*keys, now) {
            Err(Refused::Audience) => self.verify_of_client(token, &keys, now),
            verified => verified,
        };
        let verified = verified.map_err(|refused| refused_token(&refused.to_string()))?;
        self.oldest_token.note(verified.issued_at);
        Ok(verified)
    }

    /// Verifies the token of a client. Its audience is that client, which may have left the file
    /// since. The token is accepted whatever its audience is, because it can only log out here.
    fn verify_of_client(
        &self,
        token: &str,
        keys: &KeySet,
        now: DateTime<Utc>,
    ) -> Result<Verified<Claims>, Refused> {
        let own = claimed_audience(token)
            .filter(|audience| !audience.is_empty())
            .ok_or(Refused::Audience)?;
        let verified = verifier(&self.settings, own).verify(token, keys, now)?;
        if is_of_client(&self.minter, &verified) {
            Ok(verified)
        } else {
            Err(Refused::Audience)
        }
    }
}

fn claimed_audience(token: &str) -> Option<Vec<String>> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    match &claims["aud"] {
        Value::String(one) => Some(vec![one.clone()]),
        Value::Array(several) => several
            .iter()
            .map(|one| one.as_str().map(str::to_owned))
            .collect(),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use actix_web::{http::StatusCode, test::TestRequest};
    use base64::{Engine, engine::general_purpose::STANDARD};
    use chrono::TimeDelta;
    use wxmint_http::no_valid_token;

    use super::*;
    use crate::clock::now;
    use wxmint_keys::token::{ExtraClaims, new_token_id};
    use wxmint_keys::{PrivateJwk, StoredKeys, vault::Vault};
    use wxmint_verify::Algorithm;

    fn settings(change: (&str, &str)) -> Settings {
        let valid = [
            ("WXMINT_ISSUER", "https://login.example.com"),
            (
                "WXMINT_AUDIENCE",
                "https://api.example.com,https://login.example.com",
            ),
            ("WXMINT_APPID", "wx0123456789abcdef"),
            ("WXMINT_APP_SECRET", "00112233445566778899aabbccddeeff"),
            ("WXMINT_REDIS_URL", "memory:"),
            ("WXMINT_KEYS", "unused"),
            ("WXMINT_VAULT_KEY_FILE", "unused"),
        ];
        let vars = valid
            .into_iter()
            .chain([change])
            .map(|(name, value)| (name.into(), value.into()));
        Settings::from_vars(vars).expect("settings")
    }

    pub(crate) fn issuer(key: &PrivateJwk, change: (&str, &str)) -> Issuer {
        let keys = StoredKeys::of([key.clone()]).check().expect("a set");
        let vault = Vault::parse((STANDARD.encode([7; 32]) + "\n").as_bytes()).expect("a vault");
        Issuer::new(settings(change), keys, vault, &[]).expect("an issuer")
    }

    fn token(issuer: &Issuer) -> String {
        let (user, app) = (
            "user-1".parse().expect("a user"),
            "wx0123456789abcdef".parse().expect("an app"),
        );
        let id = new_token_id();
        let token = issuer.minter.issued(user, app, id, now());
        issuer
            .minter
            .mint(&token, &ExtraClaims::default(), now())
            .expect("a token")
            .expose()
            .to_owned()
    }

    fn bearing(token: &str) -> HttpRequest {
        TestRequest::default()
            .insert_header(("Authorization", format!("Bearer {token}")))
            .to_http_request()
    }

    #[test]
    fn an_issuer_believes_its_own_tokens_until_they_expire_and_nobody_elses() {
        let key = PrivateJwk::generate(Algorithm::Es256, now()).expect("a key");
        let ours = issuer(&key, ("WXMINT_TOKEN_TTL", "24h"));
        let request = bearing(&token(&ours));
        assert_eq!(
            ours.verify(&request, now())
                .expect("believed")
                .user
                .as_str(),
            "user-1"
        );

        let stranger = PrivateJwk::generate(Algorithm::Es256, now()).expect("a key");
        let theirs = issuer(&stranger, ("WXMINT_TOKEN_TTL", "24h"));
        let another = issuer(&key, ("WXMINT_ISSUER", "https://another.example.com"));
        for (issuer, at) in [
            (&ours, now() + TimeDelta::hours(25)),
            (&theirs, now()),
            (&another, now()),
        ] {
            assert_eq!(issuer.verify(&request, at).err(), Some(no_valid_token()));
        }
        let bare = TestRequest::default().to_http_request();
        assert_eq!(
            ours.verify(&bare, now()).expect_err("no token").status,
            StatusCode::UNAUTHORIZED
        );
    }

    #[test]
    fn a_token_outlives_a_change_of_audiences_and_of_its_life() {
        let key = PrivateJwk::generate(Algorithm::EdDsa, now()).expect("a key");
        let request = bearing(&token(&issuer(&key, ("WXMINT_TOKEN_TTL", "30d"))));
        for change in [
            (
                "WXMINT_AUDIENCE",
                "https://api.example.com,https://login.example.com,https://new.example.com",
            ),
            ("WXMINT_AUDIENCE", "https://api.example.com"),
            ("WXMINT_TOKEN_TTL", "1h"),
            ("WXMINT_TOKEN_TYP", "JWT"),
        ] {
            assert!(
                issuer(&key, change).verify(&request, now()).is_ok(),
                "{change:?}"
            );
        }
        let elsewhere = issuer(&key, ("WXMINT_AUDIENCE", "https://new.example.com"));
        assert!(elsewhere.verify(&request, now()).is_err());
    }
}
