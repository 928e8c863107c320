//! The claims that the account backend adds to a token, such as roles or a tenant.
//!
//! A claim of the backend must not change the meaning of the token: its issuer, client, subject,
//! audience and dates. So [`ExtraClaims`] refuses every name that verifiers interpret by
//! themselves, and only this type gets into a token.

use serde::{Deserialize, Deserializer, Serialize, de::Error};
use serde_json::{Map, Value};
use wxmint_verify::json::Unrepeated;

/// The most bytes of the claims as JSON. The limit is small because a token is sent in the headers
/// of every request.
pub const MAX_EXTRA_CLAIMS: usize = 1024;
/// The most levels of nesting. The claims themselves are the first level.
const MAX_DEPTH: usize = 4;

/// The names that verifiers interpret by themselves. `roles`, `groups` and `entitlements` (RFC 9068
/// section 2.2.3.1), and names like `permissions`, are not among them: they are the business's own
/// statements about its user.
const REGISTERED: [&[&str]; 7] = [
    // RFC 7519 section 4.1: the token itself.
    &["iss", "sub", "aud", "exp", "nbf", "iat", "jti"],
    // RFC 9068 section 2.2, RFC 8485: the client, how the user authenticated, and what was granted
    // to the client, which is `scp` to Spring Security, Microsoft and Okta.
    &[
        "client_id",
        "auth_time",
        "acr",
        "amr",
        "scope",
        "scp",
        "vot",
        "vtm",
    ],
    // RFC 8693 section 4: delegation, who acts for whom. RFC 7800 and RFC 9396: the key that the
    // token is bound to, and the grant.
    &["act", "may_act", "cnf", "authorization_details"],
    // RFC 9493, OpenID and WeChat: other ways to name the subject, which a token must not spread.
    &["sub_id", "sub_jwk", "openid", "unionid", "phone_number"],
    // OpenID Connect Core and its logout.
    &["azp", "nonce", "at_hash", "c_hash", "s_hash", "sid"],
    // RFC 8417: the security events that the token reports.
    &["events", "toe", "txn"],
    // Claims that a verifier fetches from elsewhere; Token Status List: whether the token is valid.
    &["_claim_names", "_claim_sources", "status"],
];

/// Checked claims that a token has in addition to its own. `Default` has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct ExtraClaims(Map<String, Value>);

/// Why claims cannot be in a token. The text continues a sentence that ends in "has". It quotes
/// nothing of the claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidClaims {
    /// The claims are larger than [`MAX_EXTRA_CLAIMS`].
    #[error("claims of more than {MAX_EXTRA_CLAIMS} bytes of JSON")]
    TooLarge,
    /// The claims are nested too deeply.
    #[error("claims that are nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// A name is empty, or has other characters than visible ASCII.
    #[error("a claim whose name is empty or has other characters than visible ASCII")]
    Name,
    /// The claim has a name that verifiers interpret. Names are compared without case, because some
    /// JSON readers, such as Go's, ignore it.
    #[error("the claim `{0}`, which the account backend must not set")]
    Registered(&'static str),
}

impl ExtraClaims {
    /// Whether there are no claims.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<Map<String, Value>> for ExtraClaims {
    type Error = InvalidClaims;

    fn try_from(claims: Map<String, Value>) -> Result<Self, InvalidClaims> {
        for name in claims.keys() {
            let registered = REGISTERED
                .into_iter()
                .flatten()
                .find(|of| of.eq_ignore_ascii_case(name));
            if let Some(registered) = registered {
                return Err(InvalidClaims::Registered(registered));
            }
        }
        check_members(&claims, 1)?;
        let json = serde_json::to_vec(&claims).expect("a map of JSON values is JSON");
        if json.len() > MAX_EXTRA_CLAIMS {
            Err(InvalidClaims::TooLarge)
        } else {
            Ok(Self(claims))
        }
    }
}

fn check_members(members: &Map<String, Value>, depth: usize) -> Result<(), InvalidClaims> {
    let is_fit =
        |name: &String| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    if !members.keys().all(is_fit) {
        return Err(InvalidClaims::Name);
    }
    members
        .values()
        .try_for_each(|value| check_value(value, depth + 1))
}

fn check_value(value: &Value, depth: usize) -> Result<(), InvalidClaims> {
    match value {
        Value::Array(_) | Value::Object(_) if depth > MAX_DEPTH => Err(InvalidClaims::TooDeep),
        Value::Array(items) => items
            .iter()
            .try_for_each(|item| check_value(item, depth + 1)),
        Value::Object(members) => check_members(members, depth),
        _ => Ok(()),
    }
}

/// Reads claims from a JSON object without repeated members at any depth. Does not check their
/// names and values; making [`ExtraClaims`] does.
pub fn unchecked_claims<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Map<String, Value>, D::Error> {
    match Unrepeated::deserialize(deserializer)? {
        Unrepeated(Value::Object(claims)) => Ok(claims),
        _ => Err(D::Error::custom("claims that are not an object")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(claims: Value) -> Result<ExtraClaims, InvalidClaims> {
        let Value::Object(claims) = claims else {
            panic!("claims are an object")
        };
        claims.try_into()
    }

    fn read(json: &str) -> Option<Result<ExtraClaims, InvalidClaims>> {
        unchecked_claims(&mut serde_json::Deserializer::from_str(json))
            .ok()
            .map(ExtraClaims::try_from)
    }

    #[test]
    fn what_the_business_says_of_its_user_is_allowed_and_stays_as_it_is() {
        let claims = json!({
            "roles": ["admin"], "groups": ["a"], "entitlements": [], "permissions": ["pay"], "tenant": "华东", "level": 3, "rate": 0.5, "vip": true,
            "manager": null, "https://example.com/x": {"a": {"b": [1]}}, "name": "Li Lei", "issuer": "x", "SUBJECT": 1,
        });
        let extra = checked(claims.clone()).expect("claims");
        assert_eq!(serde_json::to_value(&extra).expect("JSON"), claims);
        assert_eq!(read(&claims.to_string()), Some(Ok(extra)));
        assert!(checked(json!({})).expect("no claims").is_empty());
    }

    #[test]
    fn a_name_that_verifiers_interpret_is_refused_in_any_case_and_in_any_spelling() {
        for name in REGISTERED.concat() {
            for written in [name.to_owned(), name.to_uppercase()] {
                assert_eq!(
                    checked(json!({"roles": [], written: "x"})),
                    Err(InvalidClaims::Registered(name))
                );
            }
        }
        for json in [
            r#"{"\u0073ub":"mallory"}"#,
            r#"{"su\u0062":"mallory"}"#,
            r#"{"\u0053UB":"mallory"}"#,
        ] {
            assert_eq!(
                read(json),
                Some(Err(InvalidClaims::Registered("sub"))),
                "{json}"
            );
        }
    }

    #[test]
    fn the_pages_name_each_name_that_is_refused() {
        let page = |name: &str| {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../..")
                .join(name);
            std::fs::read_to_string(path).expect("a page")
        };
        let in_a_row = REGISTERED
            .concat()
            .iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(" ");
        for name in ["docs/accounts.md", "docs/accounts.zh-CN.md"] {
            assert!(page(name).contains(&in_a_row), "{name}: {in_a_row}");
        }
        let contract = page("docs/accounts.openapi.yaml");
        let (_, names) = contract
            .split_once("          enum: [\n")
            .expect("the names");
        let (names, _) = names.split_once(']').expect("their end");
        assert_eq!(
            names.split(',').map(str::trim).collect::<Vec<_>>(),
            REGISTERED.concat()
        );
    }

    #[test]
    fn a_repeated_member_is_refused_at_any_depth() {
        for json in [
            r#"{"roles":["a"],"roles":["b"]}"#,
            r#"{"roles":["a"],"\u0072oles":["b"]}"#,
            r#"{"x":{"a":1,"a":2}}"#,
            r#"{"x":[{"a":1,"a":2}]}"#,
        ] {
            assert!(read(json).is_none(), "{json}");
        }
        for json in ["[]", "null", "\"roles\"", "1", "", r#"[["roles",1]]"#] {
            assert!(read(json).is_none(), "{json}");
        }
    }

    #[test]
    fn names_are_visible_ascii_at_any_depth() {
        for name in ["", " ", "two words", "角色", "a\n", "a\u{0}", "a\u{7f}"] {
            assert_eq!(
                checked(json!({name: 1})),
                Err(InvalidClaims::Name),
                "{name:?}"
            );
            assert_eq!(
                checked(json!({"x": [{name: 1}]})),
                Err(InvalidClaims::Name),
                "{name:?}"
            );
        }
    }

    #[test]
    fn size_and_depth_are_bounded() {
        let of_size = |size: usize| json!({"x": "a".repeat(size - r#"{"x":""}"#.len())});
        assert!(checked(of_size(MAX_EXTRA_CLAIMS)).is_ok());
        assert_eq!(
            checked(of_size(MAX_EXTRA_CLAIMS + 1)),
            Err(InvalidClaims::TooLarge)
        );
        assert_eq!(
            checked(json!({"x": "\u{1}".repeat(200)})),
            Err(InvalidClaims::TooLarge),
            "an escape has six bytes"
        );
        assert!(checked(json!({"a": [{"b": [1, "x"]}]})).is_ok());
        assert_eq!(
            checked(json!({"a": [{"b": [[]]}]})),
            Err(InvalidClaims::TooDeep)
        );
        assert_eq!(
            checked(json!({"a": {"b": {"c": {}}}})),
            Ok(checked(json!({"a": {"b": {"c": {}}}})).expect("four"))
        );
        assert_eq!(
            checked(json!({"a": {"b": {"c": {"d": {}}}}})),
            Err(InvalidClaims::TooDeep)
        );
    }
}
