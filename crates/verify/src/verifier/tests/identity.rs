//! Tokens of other issuers that identify services: each test spoils one thing.

use super::*;

/// An account name that is longer than a user id may be.
fn account() -> String {
    format!("system:serviceaccount:shop:{}", "a".repeat(128))
}

/// A token as the API server of Kubernetes signs it, with a `kid` of its own and without `typ`.
fn forge(algorithm: Algorithm) -> Forge {
    let mut forge = Forge::of(algorithm);
    let jwk = serde_json::to_value(PublicKeySet::from_iter(&forge.keys.keys)).expect("JSON");
    let jwk = with(&jwk["keys"][0], "kid", "a name of its own");
    let keys =
        json!({"keys": [serde_json::from_str::<Value>(&without(&jwk, "alg")).expect("JSON")]});
    forge.keys = PublishedKeys::read_of_others(keys.to_string().as_bytes()).expect("a set");
    forge.header = json!({"alg": algorithm.name(), "kid": "a name of its own"});
    forge.claims = json!({
        "iss": ISSUER, "sub": account(), "aud": [API], "iat": NOW, "nbf": NOW, "exp": NOW + 3600, "jti": "jti-1",
        "kubernetes.io": {"namespace": "shop"},
    });
    forge
}

fn refused(forge: &Forge, token: &str) -> Option<Refused> {
    let policy = VerifierPolicy {
        longest_life: Duration::from_secs(DAY as u64),
        ..policy()
    };
    Verifier::new(policy)
        .expect("a policy")
        .identify(token, &account(), &forge.keys, now())
        .err()
}

#[test]
fn a_service_is_known_by_a_token_of_another_make() {
    for forge in [Algorithm::Rs256, Algorithm::Es256, Algorithm::Ed25519].map(forge) {
        assert_eq!(refused(&forge, &forge.token()), None);
        assert!(
            forge.verify(policy(), &forge.token()).is_err(),
            "it is no access token"
        );
    }
    let forge = forge(Algorithm::Es256);
    for typ in ["JWT", "jwt", "JOSE", "client-authentication+jwt"] {
        assert_eq!(
            refused(&forge, &forge.with_header("typ", typ)),
            None,
            "{typ}"
        );
    }
    for name in ["jti", "iat", "nbf"] {
        assert_eq!(
            refused(
                &forge,
                &forge.sign(&forge.header.to_string(), &without(&forge.claims, name))
            ),
            None
        );
    }
}

#[test]
fn whatever_is_wrong_with_a_services_token_is_refused_by_its_name() {
    let (forge, stranger) = (forge(Algorithm::Es256), forge(Algorithm::Es256));
    for (name, value, why) in [
        (
            "sub",
            json!("system:serviceaccount:other:orders"),
            Refused::Subject,
        ),
        ("sub", json!(account() + "s"), Refused::Subject),
        ("sub", json!([account()]), Refused::Malformed("sub")),
        (
            "iss",
            json!("https://kubernetes.default.svc"),
            Refused::Issuer,
        ),
        (
            "aud",
            json!("https://kubernetes.default.svc"),
            Refused::Audience,
        ),
        ("exp", json!(NOW - 60), Refused::Expired),
        ("exp", json!(NOW + DAY + 1), Refused::Life),
        ("iat", json!(NOW + 61), Refused::IssuedInFuture),
        ("nbf", json!(NOW + 61), Refused::NotYetValid),
        ("jti", json!(1), Refused::Malformed("jti")),
    ] {
        assert_eq!(
            refused(&forge, &forge.with_claim(name, value.clone())),
            Some(why),
            "{name}: {value}"
        );
    }
    let endless = without(&with(&forge.claims, "exp", NOW + DAY + 1), "iat");
    assert_eq!(
        refused(&forge, &forge.sign(&forge.header.to_string(), &endless)),
        Some(Refused::Life)
    );
    for (name, value, why) in [
        ("typ", json!("at+jwt"), Refused::Typ),
        ("typ", json!("revocations+jwt"), Refused::Typ),
        ("typ", json!("secevent+jwt"), Refused::Typ),
        ("typ", json!("wxmint-request+jwt"), Refused::Typ),
        ("alg", json!("none"), Refused::Algorithm),
        ("alg", json!("HS256"), Refused::Algorithm),
        ("alg", json!("RS256"), Refused::Algorithm),
        ("kid", json!("another"), Refused::UnknownKey),
        ("jwk", json!({}), Refused::HeaderParameter("jwk")),
    ] {
        assert_eq!(
            refused(&forge, &forge.with_header(name, value.clone())),
            Some(why),
            "{name}: {value}"
        );
    }
    assert_eq!(refused(&forge, &stranger.token()), Some(Refused::Signature));
}

/// RFC 7519 section 2: a NumericDate may have a fraction. wxmint writes none, so its own tokens
/// have none.
#[test]
fn dates_of_other_issuers_may_have_fractions_and_an_access_token_has_whole_seconds() {
    let (forge, own) = (forge(Algorithm::Es256), Forge::of(Algorithm::Es256));
    // Replaced in the text, because `serde_json` would write the number in its own form.
    let with = |forge: &Forge, name: &str, number: &str| {
        let claims = with(&forge.claims, name, "NUMBER")
            .to_string()
            .replace("\"NUMBER\"", number);
        forge.sign(&forge.header.to_string(), &claims)
    };
    let known = [
        ("iat", "1800000000.5"),
        ("iat", "1.8e9"),
        ("iat", "1800000059.9"),
        ("nbf", "1799999999.999999999999"),
        ("nbf", "-1.5"),
        ("nbf", "-0"),
        ("nbf", "0.0"),
        ("exp", "1800000100.25"),
        ("exp", "1.8000001E+9"),
        ("exp", "1800086400.0"),
    ];
    for (name, number) in known {
        assert_eq!(
            refused(&forge, &with(&forge, name, number)),
            None,
            "{name}: {number}"
        );
        let refused = own.refused(&with(&own, name, number));
        assert_eq!(
            refused,
            Some(Refused::Malformed(name)),
            "an access token with {name}: {number}"
        );
    }
    for (name, number, why) in [
        ("iat", "1800000060.5", Refused::IssuedInFuture),
        ("nbf", "1.80000006001e9", Refused::NotYetValid),
        ("exp", "1799999939.999", Refused::Expired),
        ("exp", "1800086400.002", Refused::Life),
        ("exp", "1.8e10", Refused::Life),
        ("exp", "18446744073709551616", Refused::Malformed("exp")),
        ("exp", "18446744073709551615", Refused::Malformed("exp")),
        ("exp", "9223372036854775807", Refused::Malformed("exp")),
        ("exp", "1e300", Refused::Malformed("exp")),
        ("exp", "9e15", Refused::Malformed("exp")),
        ("exp", "-1.8e9", Refused::Expired),
        ("iat", "-1e300", Refused::Malformed("iat")),
        ("iat", "-1e999", Refused::NotAnObject(Part::Claims)),
        ("exp", "NaN", Refused::NotAnObject(Part::Claims)),
        ("exp", "1e999", Refused::NotAnObject(Part::Claims)),
        ("exp", "\"1800000100.5\"", Refused::Malformed("exp")),
    ] {
        assert_eq!(
            refused(&forge, &with(&forge, name, number)),
            Some(why),
            "{name}: {number}"
        );
    }
    // The longest allowed life is accepted with any fraction.
    let policy = || VerifierPolicy {
        longest_life: Duration::from_mins(5),
        ..policy()
    };
    for thousandth in 0..1000 {
        let dates = ["iat", "exp"].into_iter().zip([NOW, NOW + 300]);
        let claims = dates.fold(forge.claims.to_string(), |text, (name, second)| {
            let (before, after) = (
                format!("\"{name}\":{}", forge.claims[name]),
                format!("\"{name}\":{second}"),
            );
            text.replace(&before, &format!("{after}.{thousandth:03}"))
        });
        let token = forge.sign(&forge.header.to_string(), &claims);
        let verifier = Verifier::new(policy()).expect("a policy");
        let judged = verifier
            .identify(&token, &account(), &forge.keys, now())
            .err();
        assert_eq!(judged, None, "{claims}");
    }
}

#[test]
fn a_set_of_another_issuer_may_name_its_keys_as_it_likes_and_nothing_else() {
    let jwk = serde_json::to_value(&Forge::of(Algorithm::Es256).keys.keys[0]).expect("JSON");
    let read = |member: &str, value: Value| {
        let set = json!({"keys": [with(&jwk, member, value)]}).to_string();
        let [own, others] =
            [PublishedKeys::read, PublishedKeys::read_of_others].map(|read| read(set.as_bytes()));
        [own, others].map(|read| !read.expect("a set").keys.is_empty())
    };
    assert_eq!(read("kid", "a name".into()), [false, true]);
    assert_eq!(read("use", "jwt-svid".into()), [false, true]);
    for (member, value) in [
        ("use", "enc"),
        ("alg", "HS256"),
        ("d", "AQAB"),
        ("crv", "P-384"),
        ("x", "AQAB"),
    ] {
        assert_eq!(read(member, value.into()), [false, false], "{member}");
    }
    assert_eq!(read("kid", Value::Null), [false, false]);
}
