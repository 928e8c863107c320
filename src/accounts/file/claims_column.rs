//! The fourth column of the users file: the claims that are added to a user's tokens.
//!
//! ```text
//! roles=admin,editor;tenant=north
//! ```

use std::str::FromStr;

use serde_json::{Map, Value};
use wxmint_keys::token::{ExtraClaims, InvalidClaims};

/// An invisible character that editors on Windows put at the start of a file.
pub(super) const BYTE_ORDER_MARK: char = '\u{feff}';
/// The claim that is an array even if it has one value.
const ROLES: &str = "roles";
/// The claims that are booleans in OpenID Connect Core section 5.1. All others are texts.
const BOOLEANS: [&str; 2] = ["email_verified", "phone_number_verified"];

/// The claims of one user, as they were written. `Default` is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClaimsColumn {
    /// The column as it was written.
    pub text: String,
    pub claims: ExtraClaims,
}

const FORM: &str = "must have claims of the form name=value, with `;` between them and without spaces: roles=a,b;tenant=x";

const BOOLEAN_FORM: &str =
    "must have `true` or `false` as email_verified and phone_number_verified";

impl FromStr for ClaimsColumn {
    type Err = String;

    /// An empty text means no claims. The error repeats nothing of the text except names of claims
    /// that no user may have.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        if text.contains(|char: char| {
            char.is_whitespace() || char.is_control() || char == BYTE_ORDER_MARK
        }) {
            return Err(FORM.into());
        }
        let mut claims = Map::new();
        for pair in text.split(';') {
            let (name, value) = pair.split_once('=').ok_or(FORM)?;
            if claims
                .insert(name.to_owned(), claim(name, value)?)
                .is_some()
            {
                return Err("must name each claim once".into());
            }
        }
        let claims =
            ExtraClaims::try_from(claims).map_err(|fault: InvalidClaims| format!("has {fault}"))?;
        Ok(Self {
            text: text.to_owned(),
            claims,
        })
    }
}

fn claim(name: &str, value: &str) -> Result<Value, &'static str> {
    match name {
        _ if value.is_empty() => Err(FORM),
        ROLES if value.split(',').any(str::is_empty) => Err(FORM),
        ROLES => Ok(value.split(',').collect()),
        _ if BOOLEANS.contains(&name) => value
            .parse::<bool>()
            .map(Value::from)
            .map_err(|_| BOOLEAN_FORM),
        _ => Ok(value.into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn roles_are_an_array_two_claims_are_booleans_and_all_else_is_text() {
        for (text, claims) in [
            (
                "roles=admin,editor;tenant=north",
                json!({"roles": ["admin", "editor"], "tenant": "north"}),
            ),
            ("roles=admin", json!({"roles": ["admin"]})),
            (
                "level=3;vip=true;groups=a,b",
                json!({"level": "3", "vip": "true", "groups": "a,b"}),
            ),
            (
                "tenant=华东;q=a=b;url=https://a.example/?x",
                json!({"tenant": "华东", "q": "a=b", "url": "https://a.example/?x"}),
            ),
            (
                "email=a@b.example;email_verified=true;phone_number_verified=false;verified=true",
                json!({
                    "email": "a@b.example", "email_verified": true, "phone_number_verified": false, "verified": "true",
                }),
            ),
            ("x=\"}", json!({"x": "\"}"})),
            ("", json!({})),
        ] {
            let column: ClaimsColumn = text.parse().expect(text);
            assert_eq!(
                serde_json::to_value(column.claims).expect("JSON"),
                claims,
                "{text}"
            );
            assert_eq!(column.text, text);
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "admin",
            "roles",
            "roles=",
            "roles=a,",
            "roles=,a",
            "roles=a,,b",
            "tenant=",
            "roles=a;",
            ";roles=a",
            "roles=a;;b=c",
            "roles=a, b",
            "roles=a tenant=x",
            "x=a\u{7}",
            "x=a\u{3000}b",
            "x=a\u{feff}",
        ] {
            assert_eq!(
                text.parse::<ClaimsColumn>(),
                Err(FORM.to_owned()),
                "{text:?}"
            );
        }
        for text in [
            "email_verified=yes",
            "email_verified=True",
            "phone_number_verified=1",
            "email_verified=true,true",
        ] {
            assert_eq!(
                text.parse::<ClaimsColumn>(),
                Err(BOOLEAN_FORM.to_owned()),
                "{text:?}"
            );
        }
        assert_eq!(
            "roles=a;roles=b".parse::<ClaimsColumn>(),
            Err("must name each claim once".to_owned())
        );
        for (text, fault) in [
            ("sub=u-2", InvalidClaims::Registered("sub")),
            ("roles=a;Aud=x", InvalidClaims::Registered("aud")),
            ("角色=a", InvalidClaims::Name),
            ("=a", InvalidClaims::Name),
            (&format!("x={}", "a".repeat(1024)), InvalidClaims::TooLarge),
        ] {
            assert_eq!(
                text.parse::<ClaimsColumn>(),
                Err(format!("has {fault}")),
                "{text}"
            );
        }
    }
}
