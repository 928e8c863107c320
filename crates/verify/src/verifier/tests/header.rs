//! The faults of a header.

use super::*;

#[test]
fn each_thing_wrong_with_a_header_is_refused_by_its_name() {
    let forge = Forge::of(Algorithm::Es256);
    assert_eq!(forge.refused(&forge.token()), None, "valid by default");
    assert_eq!(
        forge.refused(&forge.with_header("x5t", "AQAB")),
        None,
        "a parameter that changes nothing"
    );
    for (name, value, refused) in [
        ("alg", json!("none"), Refused::Algorithm),
        ("alg", json!("HS256"), Refused::Algorithm),
        ("alg", json!("es256"), Refused::Algorithm),
        ("alg", json!("ES384"), Refused::Algorithm),
        ("alg", json!("RS256"), Refused::Algorithm),
        ("alg", json!(["ES256"]), Refused::Malformed("alg")),
        ("typ", json!("JWT"), Refused::Typ),
        ("typ", json!("statuslist+jwt"), Refused::Typ),
        ("typ", json!("at+jwt "), Refused::Typ),
        ("typ", json!("application/application/at+jwt"), Refused::Typ),
        ("typ", json!(""), Refused::Typ),
        ("typ", json!(null), Refused::Malformed("typ")),
        ("kid", json!("another"), Refused::UnknownKey),
        ("kid", json!(""), Refused::UnknownKey),
        ("kid", json!(1), Refused::Malformed("kid")),
    ] {
        assert_eq!(
            forge.refused(&forge.with_header(name, value.clone())),
            Some(refused),
            "{name}: {value}"
        );
    }
    for alg in ["none", "HS256", "ES384"] {
        assert_eq!(
            before_cryptography::unasked(&forge.with_header("alg", alg)),
            Refused::Algorithm,
            "{alg}"
        );
    }
    for name in ["alg", "typ", "kid"] {
        let token = forge.sign(&without(&forge.header, name), &forge.claims.to_string());
        assert_eq!(forge.refused(&token), Some(Refused::Missing(name)));
    }
}

#[test]
fn a_header_parameter_that_brings_a_key_or_changes_the_format_is_refused_with_any_value() {
    let forge = Forge::of(Algorithm::EdDsa);
    for name in [
        "crit", "jwk", "jku", "x5u", "x5c", "zip", "enc", "b64", "cty",
    ] {
        for value in [
            json!(null),
            json!([]),
            json!(["b64"]),
            json!(true),
            json!("exp"),
            json!({}),
        ] {
            let token = forge.with_header(name, value.clone());
            assert_eq!(
                forge.refused(&token),
                Some(Refused::HeaderParameter(name)),
                "{value}"
            );
        }
    }
}

#[test]
fn typ_jwt_is_accepted_only_if_the_policy_says_so_and_at_jwt_always() {
    let forge = Forge::of(Algorithm::EdDsa);
    let jwt = VerifierPolicy {
        typ: TokenTyp::Jwt,
        ..policy()
    };
    for (typ, strict, lenient) in [
        ("at+jwt", true, true),
        ("AT+JWT", true, true),
        ("application/at+jwt", true, true),
        ("Application/At+Jwt", true, true),
        ("JWT", false, true),
        ("jwt", false, true),
        ("application/jwt", false, true),
        ("statuslist+jwt", false, false),
        ("wxmint-request+jwt", false, false),
        ("at", false, false),
    ] {
        let token = forge.with_header("typ", typ);
        let taken = [policy(), jwt.clone()].map(|policy| forge.verify(policy, &token).is_ok());
        assert_eq!(taken, [strict, lenient], "{typ}");
    }
}
