//! Tokens by which services show who they are, of issuers of another make: each spoils one thing.

use super::*;

/// Longer than a user id may be.
fn account() -> String {
    format!("system:serviceaccount:shop:{}", "a".repeat(128))
}

/// A token as the API server of Kubernetes signs it, with a `kid` of its own and without `typ`.
fn forge(algorithm: Algorithm) -> Forge {
    let mut forge = Forge::of(algorithm);
    let jwk = serde_json::to_value(PublicKeySet::from_iter(&forge.keys.keys)).expect("JSON");
    let jwk = with(&jwk["keys"][0], "kid", "a name of its own");
    let keys = json!({"keys": [serde_json::from_str::<Value>(&without(&jwk, "alg")).expect("JSON")]});
    forge.keys = PublishedKeys::read_of_others(keys.to_string().as_bytes()).expect("a set");
    forge.header = json!({"alg": algorithm.name(), "kid": "a name of its own"});
    forge.claims = json!({
        "iss": ISSUER, "sub": account(), "aud": [API], "iat": NOW, "nbf": NOW, "exp": NOW + 3600, "jti": "jti-1",
        "kubernetes.io": {"namespace": "shop"},
    });
    forge
}

fn refused(forge: &Forge, token: &str) -> Option<Refused> {
    let policy = VerifierPolicy { longest_life: Duration::from_secs(DAY as u64), ..policy() };
    Verifier::new(policy).expect("a policy").identify(token, &account(), &forge.keys, now()).err()
}

#[test]
fn a_service_is_known_by_a_token_of_another_make() {
    for forge in [Algorithm::Rs256, Algorithm::Es256, Algorithm::Ed25519].map(forge) {
        assert_eq!(refused(&forge, &forge.token()), None);
        assert!(forge.verify(policy(), &forge.token()).is_err(), "it is no access token");
    }
    let forge = forge(Algorithm::Es256);
    for typ in ["JWT", "jwt", "JOSE", "client-authentication+jwt"] {
        assert_eq!(refused(&forge, &forge.with_header("typ", typ)), None, "{typ}");
    }
    for name in ["jti", "iat", "nbf"] {
        assert_eq!(refused(&forge, &forge.sign(&forge.header.to_string(), &without(&forge.claims, name))), None);
    }
}

#[test]
fn whatever_is_wrong_with_a_services_token_is_refused_by_its_name() {
    let (forge, stranger) = (forge(Algorithm::Es256), forge(Algorithm::Es256));
    for (name, value, why) in [
        ("sub", json!("system:serviceaccount:other:orders"), Refused::Subject),
        ("sub", json!(account() + "s"), Refused::Subject),
        ("sub", json!([account()]), Refused::Malformed("sub")),
        ("iss", json!("https://kubernetes.default.svc"), Refused::Issuer),
        ("aud", json!("https://kubernetes.default.svc"), Refused::Audience),
        ("exp", json!(NOW - 60), Refused::Expired),
        ("exp", json!(NOW + DAY + 1), Refused::Life),
        ("iat", json!(NOW + 61), Refused::IssuedInFuture),
        ("nbf", json!(NOW + 61), Refused::NotYetValid),
        ("jti", json!(1), Refused::Malformed("jti")),
    ] {
        assert_eq!(refused(&forge, &forge.with_claim(name, value.clone())), Some(why), "{name}: {value}");
    }
    let endless = without(&with(&forge.claims, "exp", NOW + DAY + 1), "iat");
    assert_eq!(refused(&forge, &forge.sign(&forge.header.to_string(), &endless)), Some(Refused::Life));
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
        assert_eq!(refused(&forge, &forge.with_header(name, value.clone())), Some(why), "{name}: {value}");
    }
    assert_eq!(refused(&forge, &stranger.token()), Some(Refused::Signature));
}

#[test]
fn a_set_of_another_issuer_may_name_its_keys_as_it_likes_and_nothing_else() {
    let jwk = serde_json::to_value(&Forge::of(Algorithm::Es256).keys.keys[0]).expect("JSON");
    let read = |member: &str, value: Value| {
        let set = json!({"keys": [with(&jwk, member, value)]}).to_string();
        let [own, others] = [PublishedKeys::read, PublishedKeys::read_of_others].map(|read| read(set.as_bytes()));
        [own, others].map(|read| !read.expect("a set").keys.is_empty())
    };
    assert_eq!(read("kid", "a name".into()), [false, true]);
    assert_eq!(read("use", "jwt-svid".into()), [false, true]);
    for (member, value) in [("use", "enc"), ("alg", "HS256"), ("d", "AQAB"), ("crv", "P-384"), ("x", "AQAB")] {
        assert_eq!(read(member, value.into()), [false, false], "{member}");
    }
    assert_eq!(read("kid", Value::Null), [false, false]);
}
