//! Tokens that are refused before any cryptography, so that a stranger's garbage costs a verifier
//! little work.

use std::cell::Cell;

use aws_lc_rs::hmac;

use super::*;

/// Fails the test if a key is looked up.
struct Unasked;

impl KeySource for Unasked {
    fn key(&self, kid: &str, _: DateTime<Utc>) -> Option<&PublicKey> {
        panic!("asked for {kid}")
    }
}

/// Verifies a token that must be refused before its key is looked up.
#[track_caller]
pub(super) fn unasked(token: &str) -> Refused {
    Verifier::new(policy())
        .expect("a policy")
        .verify(token, &Unasked, now())
        .expect_err("refused")
}

#[test]
fn a_valid_token_looks_up_its_key_once() {
    struct Counted<'a>(&'a PublishedKeys, Cell<usize>);
    impl KeySource for Counted<'_> {
        fn key(&self, kid: &str, now: DateTime<Utc>) -> Option<&PublicKey> {
            self.1.set(self.1.get() + 1);
            self.0.key(kid, now)
        }
    }
    let forge = Forge::of(Algorithm::Es256);
    let keys = Counted(&forge.keys, Cell::new(0));
    Verifier::new(policy())
        .expect("a policy")
        .verify(&forge.token(), &keys, now())
        .expect("believed");
    assert_eq!(keys.1.get(), 1);
}

#[test]
fn anything_but_a_compact_jws_of_two_json_objects_is_refused_before_the_key_is_looked_up() {
    let forge = Forge::of(Algorithm::Es256);
    let (token, claims) = (forge.token(), forge.claims.to_string());
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    let json = |part: &str, json: &str| match part {
        "header" => forge.sign(json, &claims),
        _ => forge.sign(&forge.header.to_string(), json),
    };
    for (token, refused) in [
        (String::new(), Refused::NotThreeParts),
        ("a".into(), Refused::NotThreeParts),
        (format!("{header}.{payload}"), Refused::NotThreeParts),
        (format!("{token}."), Refused::NotThreeParts),
        (
            format!("{header}.{payload}.{payload}.{signature}.{signature}"),
            Refused::NotThreeParts,
        ),
        (format!(" {token}"), Refused::NotBase64url(Part::Header)),
        (format!("{token}\n"), Refused::NotBase64url(Part::Signature)),
        (format!("{token}=="), Refused::NotBase64url(Part::Signature)),
        (
            format!("{header}.{payload}+.{signature}"),
            Refused::NotBase64url(Part::Claims),
        ),
        (
            format!("{header}é.{payload}.{signature}"),
            Refused::NotBase64url(Part::Header),
        ),
        (
            format!("{header}.{payload}.{}B", &signature[..signature.len() - 1]),
            Refused::NotBase64url(Part::Signature),
        ),
        (
            format!(".{payload}.{signature}"),
            Refused::NotAnObject(Part::Header),
        ),
        (
            format!("{header}..{signature}"),
            Refused::NotAnObject(Part::Claims),
        ),
        (json("header", "null"), Refused::NotAnObject(Part::Header)),
        (
            json("header", &format!("[{}]", forge.header)),
            Refused::NotAnObject(Part::Header),
        ),
        (
            json("claims", "not JSON"),
            Refused::NotAnObject(Part::Claims),
        ),
        (
            json("claims", &format!("{claims}{claims}")),
            Refused::NotAnObject(Part::Claims),
        ),
        (
            forge.with_claim("padding", "a".repeat(MAX_TOKEN)),
            Refused::TooLong,
        ),
    ] {
        assert_eq!(unasked(&token), refused, "{token}");
    }
    assert_eq!(
        forge.refused(&format!("{header}.{payload}.")),
        Some(Refused::Signature),
        "no signature at all"
    );
}

#[test]
fn a_mebibyte_of_anything_is_refused() {
    const MEBIBYTE: usize = 1 << 20;
    let forge = Forge::of(Algorithm::Es256);
    let token = forge.token();
    let [header, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    let long = "A".repeat(MEBIBYTE);
    let nested = URL_SAFE_NO_PAD.encode("{\"a\":".repeat(MEBIBYTE / 5));
    for (what, token) in [
        ("one part", long.clone()),
        ("dots", ".".repeat(MEBIBYTE)),
        (
            "tokens",
            format!("{token}.").repeat(MEBIBYTE / token.len() + 1),
        ),
        ("header", format!("{long}.{claims}.{signature}")),
        ("claims", format!("{header}.{long}.{signature}")),
        ("signature", format!("{header}.{claims}.{long}")),
        ("depth", format!("{header}.{nested}.{signature}")),
        ("a signed claim", forge.with_claim("padding", long.clone())),
        (
            "a signed parameter",
            forge.with_header("padding", long.clone()),
        ),
    ] {
        assert!(token.len() >= MEBIBYTE, "{what}");
        assert_eq!(unasked(&token), Refused::TooLong, "{what}");
        assert_eq!(
            UnverifiedIssuer::of(&token).err(),
            Some(Refused::TooLong),
            "{what}"
        );
    }
}

/// Spells each part in every other way that a lenient decoder reads as the same bytes (RFC 4648
/// sections 3.2 to 3.5).
#[test]
fn base64url_that_is_not_canonical_is_refused_in_each_part() {
    let forge = Forge::of(Algorithm::Es256);
    // Three lengths, so that each part ends on one byte, on two, and on three.
    for padding in ["", "a", "aa"] {
        let [header, claims] =
            [&forge.header, &forge.claims].map(|object| with(object, "a", padding).to_string());
        let token = forge.sign(&header, &claims);
        assert_eq!(forge.refused(&token), None);
        let parts: Vec<&str> = token.split('.').collect();
        for (index, part) in [Part::Header, Part::Claims, Part::Signature]
            .into_iter()
            .enumerate()
        {
            for spelling in other_spellings(parts[index]) {
                let mut spoiled = parts.clone();
                spoiled[index] = &spelling;
                assert_eq!(
                    unasked(&spoiled.join(".")),
                    Refused::NotBase64url(part),
                    "{spelling:?}"
                );
            }
        }
    }
}

fn other_spellings(text: &str) -> Vec<String> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (half, rest) = text.split_at(text.len() / 2);
    let mut spellings = ["=", "==", "\n", " ", "\0"]
        .map(|end| format!("{text}{end}"))
        .to_vec();
    spellings
        .extend(["\r\n", " ", "=", "+", "/", "%2D"].map(|middle| format!("{half}{middle}{rest}")));
    if !text.len().is_multiple_of(4) {
        // The lowest bit of the last letter is unused.
        let (most, last) = text.split_at(text.len() - 1);
        let place = ALPHABET
            .iter()
            .position(|&byte| byte == last.as_bytes()[0])
            .expect("of the alphabet");
        spellings.push(format!("{most}{}", char::from(ALPHABET[place ^ 1])));
    }
    spellings
}

/// The attack on verifiers that take the algorithm from the token: the public key serves as an HMAC
/// secret.
#[test]
fn a_token_with_the_public_key_as_its_hmac_secret_is_refused_before_the_key_is_looked_up() {
    let forge = Forge::of(Algorithm::Es256);
    let jwk = serde_json::to_value(&forge.keys.keys[0]).expect("JSON");
    let [x, y] = ["x", "y"].map(|name| {
        URL_SAFE_NO_PAD
            .decode(jwk[name].as_str().expect("text"))
            .expect("base64url")
    });
    for secret in [
        jwk.to_string().into_bytes(),
        [&[4], &x[..], &y].concat(),
        x.clone(),
    ] {
        let header = with(&forge.header, "alg", "HS256").to_string();
        let signed = forge.sign(&header, &forge.claims.to_string());
        let (signed, _) = signed.rsplit_once('.').expect("parts");
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, &secret),
            signed.as_bytes(),
        );
        assert_eq!(
            unasked(&format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))),
            Refused::Algorithm
        );
    }
}

#[test]
fn another_serialization_of_the_same_token_is_refused_before_the_key_is_looked_up() {
    let token = Forge::of(Algorithm::Es256).token();
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    let flattened = json!({ "protected": header, "payload": payload, "signature": signature });
    let general = json!({ "payload": payload, "signatures": [{ "protected": header, "signature": signature }] });
    for token in [flattened.to_string(), general.to_string()] {
        assert_eq!(unasked(&token), Refused::NotThreeParts);
    }
    let hidden =
        json!({ "protected": header, "payload": payload, "signature": signature, "a": token })
            .to_string();
    assert_eq!(
        unasked(&hidden),
        Refused::NotBase64url(Part::Header),
        "with a compact one in it"
    );
}
