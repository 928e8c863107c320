//! Reads tokens of this issuer that clients send back: id tokens as hints, and access tokens to
//! revoke.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::DateTime;
use serde_json::{Map, Value};
use wxmint_ids::ClientId;
use wxmint_keys::SigningKey;
use wxmint_keys::token::{Issued, Minter};
use wxmint_store::CLOCKS_APART;

use crate::{issuer::Issuer, oauth::clients::Client};

/// A JWT that this issuer has signed, whether or not it has expired.
pub(super) struct OwnJwt {
    typ: String,
    pub(super) claims: Map<String, Value>,
}

impl OwnJwt {
    /// Verifies the signature, the key and the issuer. `None` if they do not fit.
    pub(super) fn read(issuer: &Issuer, token: &str) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header = object(header)?;
        let claims = object(claims)?;
        let kid = header.get("kid")?.as_str()?;
        let keys = issuer.keys.set();
        let key = keys
            .iter()
            .map(SigningKey::public)
            .find(|key| key.kid() == kid)?;
        let is_own = header.get("alg")?.as_str()? == key.algorithm().name()
            && claims.get("iss")?.as_str()? == issuer.settings.issuer.as_str()
            && !keys.is_revoked(kid)
            && key.verifies(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?);
        is_own.then_some(Self {
            typ: header.get("typ")?.as_str()?.to_owned(),
            claims,
        })
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str()
    }

    /// The `sid` and the client of an id token.
    pub(super) fn id_token(&self) -> Option<(&str, ClientId)> {
        let is_id_token = self.typ == "JWT" && !self.claims.contains_key("jti");
        is_id_token.then_some((self.text("sid")?, self.text("aud")?.parse().ok()?))
    }

    pub(super) fn subject(&self) -> Option<&str> {
        self.id_token().and_then(|_| self.text("sub"))
    }

    /// The first access token of an id token's login. Its expiry is right if the client's token
    /// lifetime has not changed since.
    ///
    /// Redis may have dated the token up to a minute after `auth_time`, so the result is dated a
    /// minute after it: a logout before the login does not cover it, and the real token expires no
    /// later.
    pub(super) fn first_token(&self, minter: &Minter, client: Option<&Client>) -> Option<Issued> {
        let (sid, app) = self.id_token()?;
        let user = self.subject()?.parse().ok()?;
        let at =
            DateTime::from_timestamp(self.claims.get("auth_time")?.as_i64()?, 0)? + CLOCKS_APART;
        Some(
            minter
                .with(&[], client.and_then(|client| client.token_ttl))
                .issued(user, app.0, sid.parse().ok()?, at),
        )
    }

    pub(super) fn access_token(&self) -> Option<Issued> {
        let second = |name| self.claims.get(name)?.as_i64();
        Some(Issued {
            user: self.text("sub")?.parse().ok()?,
            app: self.text("client_id")?.parse().ok()?,
            id: self.text("jti")?.parse().ok()?,
            issued_at: second("iat")?,
            expires_at: second("exp")?,
        })
    }
}

/// Decodes the header or the claims of a JWT.
fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wxmint_keys::{PrivateJwk, token::ExtraClaims};
    use wxmint_verify::Algorithm;

    use super::*;
    use crate::clock::now;
    use crate::issuer::caller::tests::issuer;

    /// Otherwise a thief of the key could revoke any login with such a token.
    #[test]
    fn neither_an_id_token_nor_an_access_token_by_a_revoked_key_is_read() {
        let key = PrivateJwk::generate(Algorithm::Es256, now()).expect("a key");
        let issuer = issuer(&key, ("WXMINT_TOKEN_TTL", "1h"));
        let (user, client) = (
            "user-1".parse().expect("a user"),
            "grafana".parse().expect("an id"),
        );
        let id = issuer.minter.token_id("mark", now()).expect("random");
        let issued = issuer.minter.issued(user, client, id, now());
        let access = issuer
            .minter
            .mint(&issued, &ExtraClaims::default(), now())
            .expect("a token");
        let claims = json!({"sub": "user-1", "aud": "grafana", "sid": issued.id.as_str()});
        let id_token = issuer
            .minter
            .sign_id(claims, &access, now())
            .expect("a token");
        let sid = || {
            OwnJwt::read(&issuer, id_token.expose())?
                .id_token()
                .map(|(sid, _)| sid.to_owned())
        };
        let jti = || {
            OwnJwt::read(&issuer, access.expose())?
                .access_token()
                .map(|token| token.id)
        };
        assert_eq!(
            (sid(), jti()),
            (Some(issued.id.as_str().to_owned()), Some(issued.id.clone()))
        );
        issuer.keys.note_revoked(&[key.kid().to_owned()]);
        assert_eq!((sid(), jti()), (None, None));
    }
}
