//! Bad tokens that few programs are given, for a verifier that looks at everything.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use super::forge::Forge;

impl Forge<'_> {
    /// These, too, for verifiers that look at everything. `real` is a token that is not odd.
    pub(crate) fn odd_tokens(&self, real: &str) -> Vec<(&'static str, String)> {
        [self.odd_claims(), self.odd_headers(), self.odd_forms(real)].concat()
    }

    fn odd_claims(&self) -> Vec<(&'static str, String)> {
        let (now, iss) = (self.now, &self.claims["iss"]);
        let odd = [
            ("exp 2^64-1", json!({"exp": u64::MAX})),
            ("exp in ten years", json!({"exp": now + 10 * 365 * 86_400})),
            ("exp as a string", json!({"exp": (now + 3600).to_string()})),
            ("iat as a string", json!({"iat": now.to_string()})),
            ("no iat", json!({"iat": null})),
            ("iss in an array", json!({"iss": [iss]})),
            ("no iss", json!({"iss": null})),
            ("no aud", json!({"aud": null})),
            ("aud in an object", json!({"aud": {"aud": iss}})),
            ("no sub", json!({"sub": null})),
            ("sub an object", json!({"sub": {"id": "lin"}})),
            ("sub empty", json!({"sub": ""})),
            ("sub with a line end", json!({"sub": "lin\r\nX-User-Id: mei"})),
            ("no client_id", json!({"client_id": null})),
            ("jti with a blank", json!({"jti": "a b"})),
            ("9 KiB", json!({"padding": "x".repeat(9 << 10)})),
        ];
        let mut odd: Vec<_> =
            odd.map(|(name, members)| (name, self.by_issuer(&self.header, &self.claims_with(members)))).into();
        odd.push(("a member twice, once escaped", self.twice(r#""s\u0075b":"mei""#)));
        odd.push(("a member twice, at the end", self.twice(r#""sub":"mei""#)));
        odd.push(("a member twice, further in", self.twice(r#""more":{"a":1,"a":2}"#)));
        odd
    }

    /// The claims and one more member, signed by the issuer.
    fn twice(&self, member: &str) -> String {
        let claims = self.claims.to_string();
        let claims = format!("{},{member}}}", claims.strip_suffix('}').expect("an object"));
        self.issuer.token(&self.header.to_string(), &claims)
    }

    fn odd_headers(&self) -> Vec<(&'static str, String)> {
        let odd = [
            ("alg of another family", json!({"alg": "RS256"})),
            ("alg of the same family", json!({"alg": "ES384"})),
            ("alg in lower case", json!({"alg": "es256"})),
            ("no alg", json!({"alg": null})),
            ("no typ", json!({"typ": null})),
            ("a status list", json!({"typ": "statuslist+jwt"})),
            ("crit empty", json!({"crit": []})),
            ("b64", json!({"b64": true})),
            ("compressed", json!({"zip": "DEF"})),
        ];
        let mut odd: Vec<_> =
            odd.map(|(name, members)| (name, self.by_issuer(&self.header_with(members), &self.claims))).into();
        let header = self.header.to_string().replacen('{', r#"{"alg":"none","#, 1);
        odd.push(("alg twice", self.issuer.token(&header, &self.claims.to_string())));
        odd
    }

    fn odd_forms(&self, real: &str) -> Vec<(&'static str, String)> {
        let (signed, signature) = real.rsplit_once('.').expect("a token");
        // 64 bytes leave four bits of the last letter unused.
        let (last, rest) = (signature.chars().last().expect("a letter"), &signature[..signature.len() - 1]);
        let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let stray = letters.chars().nth(letters.find(last).expect("base64url") + 1).expect("not the last letter");
        vec![
            ("four parts", format!("{real}.e30")),
            ("two parts", signed.to_owned()),
            ("padding", format!("{real}==")),
            ("stray bits", format!("{signed}.{rest}{stray}")),
            ("half a signature", format!("{signed}.{}", &signature[..43])),
            ("claims that are no object", self.by_issuer(&self.header, &json!([self.claims]))),
            ("claims that are no JSON", self.issuer.token(&self.header.to_string(), "sub=lin")),
            ("a header that is no JSON", format!("{}.{}", URL_SAFE_NO_PAD.encode("alg=none"), &real[real.len() / 2..])),
        ]
    }
}
