//! Test vectors from the RFCs, and key sets that must be refused.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::signature::Signer;
use serde_json::{Value, json};
use wxmint_verify::{KeyError, PublicKey, PublicKeySet, PublishedKeys};

use super::{KeySet, StoredKeys, signing_key::SigningKey};

/// The encoded payload of RFC 7515's examples.
const JOE: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

/// The key of RFC 7515 appendix A.3.1, with the `alg` that our sets require.
fn p256() -> Value {
    json!({
        "kty": "EC", "crv": "P-256", "alg": "ES256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
    })
}

/// The key of RFC 8037 appendix A.1.
fn ed25519() -> Value {
    json!({
        "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    })
}

/// The key of RFC 7515 appendix A.2.1.
fn rsa() -> Value {
    json!({
        "kty": "RSA", "alg": "RS256", "e": "AQAB",
        "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
        "d": "Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXOoAJe46sui395IW_GO-pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOopznQ",
        "p": "4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_Py5PJdTJNPY8cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc",
        "q": "uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7TjeLQeZD_YwD66t62wDmpe_HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdc",
        "dp": "BwKfV3Akq5_MFZDFZCnW-wzl-CCo83WoZvnLQwCTeDv8uzluRSnm71I3QCLdhrqE2e9YkxvuxdBfpT_PI7Yz-FOKnu1R6HsJeDCjn12Sk3vmAktV2zb34MCdy7cpdTh_YVr7tss2u6vneTwrA86rZtu5Mbr1C1XsmvkxHQAdYo0",
        "dq": "h_96-mK1R_7glhsum81dZxjTnYynPbZpHziZjeeHcXYsXaaMwkOlODsWa7I9xXDoRwbKgB719rrmI2oKr6N3Do9U0ajaHF-NKJnwgjMd2w9cjz3_-kyNlxAr2v4IKhGNpmM5iIgOS1VZnOZ68m6_pbLBSp3nssTdlqvd0tIiTHU",
        "qi": "IYd7DHOhrWvxkwPQsRM2tOgrjbcrfvtQJipd-DlcxyVuuM9sQLdgjVk2oy26F0EmpScGLq2MowX7fhd_QJQ3ydy5cY7YIBi87w93IKLEdfnbJtoOPLUW0ITrJReOgo1cq9SbsxYawBgfp_gh6A5603k2-ZQwVK0JKSHuLFkuQ3U",
    })
}

/// The private set of RFC 7517 appendix A.2: an EC key for encryption without `alg`, and an RSA
/// key.
fn set_of_rfc_7517() -> [Value; 2] {
    let encryption = json!({
        "kty": "EC", "crv": "P-256", "use": "enc", "kid": "1",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
        "d": "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE",
    });
    let signing = json!({
        "kty": "RSA", "alg": "RS256", "kid": "2011-04-29", "e": "AQAB",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        "d": "X4cTteJY_gn4FYPsXB8rdXix5vwsg1FLN5E3EaG6RJoVH-HLLKD9M7dx5oo7GURknchnrRweUkC7hT5fJLM0WbFAKNLWY2vv7B6NqXSzUvxT0_YSfqijwp3RTzlBaCxWp4doFk5N2o8Gy_nHNKroADIkJ46pRUohsXywbReAdYaMwFs9tv8d_cPVY3i07a3t8MN6TNwm0dSawm9v47UiCl3Sk5ZiG7xojPLu4sbg1U2jx4IBTNBznbJSzFHK66jT8bgkuqsk0GjskDJk19Z4qwjwbsnn4j2WBii3RL-Us2lGVkY8fkFzme1z0HbIkfz0Y6mqnOYtqc0X4jfcKoAC8Q",
        "p": "83i-7IvMGXoMXCskv73TKr8637FiO7Z27zv8oj6pbWUQyLPQBQxtPVnwD20R-60eTDmD2ujnMt5PoqMrm8RfmNhVWDtjjMmCMjOpSXicFHj7XOuVIYQyqVWlWEh6dN36GVZYk93N8Bc9vY41xy8B9RzzOGVQzXvNEvn7O0nVbfs",
        "q": "3dfOR9cuYq-0S-mkFLzgItgMEfFzB2q3hWehMuG0oCuqnb3vobLyumqjVZQO1dIrdwgTnCdpYzBcOfW5r370AFXjiWft_NGEiovonizhKpo9VVS78TzFgxkIdrecRezsZ-1kYd_s1qDbxtkDEgfAITAG9LUnADun4vIcb6yelxk",
        "dp": "G4sPXkc6Ya9y8oJW9_ILj4xuppu0lzi_H7VTkS8xj5SdX3coE0oimYwxIi2emTAue0UOa5dpgFGyBJ4c8tQ2VF402XRugKDTP8akYhFo5tAA77Qe_NmtuYZc3C3m3I24G2GvR5sSDxUyAN2zq8Lfn9EUms6rY3Ob8YeiKkTiBj0",
        "dq": "s9lAH9fggBsoFR8Oac2R_E2gw282rT2kGOAhvIllETE1efrA6huUUvMfBcMpn8lqeW6vzznYY5SSQF7pMdC_agI3nG8Ibp1BUb0JUiraRNqUfLhcQb_d9GF4Dh7e74WbRsobRonujTYN1xCaP6TO61jvWrX-L18txXw494Q_cgk",
        "qi": "GyM_p6JrXySiz1toFgKbWV-JdI3jQ4ypu9rbMWx3rQJBfmt0FoYzgUIZEVFEcOqwemRN81zoDAaa-Bk0KWNGDjJHZDdDmFhW3AN7lI-puxk_mHZGJ11rxyR8O55XLSe3SPmRfKwZI6yU24ZxvQKFYItdldUKGzO6Ia6zTKhAVRU",
    });
    [encryption, signing]
}

/// The signature of RFC 7520 section 4.1 and the key of section 3.3.
#[test]
fn the_rs256_signature_of_rfc_7520_verifies() {
    let n = "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw";
    let signed = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4";
    let signature = "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg";
    let [n, signature] =
        [n, signature].map(|text| URL_SAFE_NO_PAD.decode(text).expect("base64url"));
    let key = PublicKey::rsa(&n, &[1, 0, 1]).expect("a key");
    assert!(key.verifies(signed.as_bytes(), &signature));
    assert!(!key.verifies(&signed.as_bytes()[1..], &signature));
}

fn parse(keys: &[Value]) -> Result<KeySet, KeyError> {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
}

fn with(mut key: Value, member: &str, value: impl Into<Value>) -> Value {
    key[member] = value.into();
    key
}

#[test]
fn signatures_are_those_of_rfc_7515_and_rfc_8037() {
    let rs256 = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let es256 =
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let eddsa =
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    // ECDSA signatures differ each time, because each takes a random number; those of the other
    // algorithms do not.
    for (key, header, payload, signature, repeats) in [
        (rsa(), "eyJhbGciOiJSUzI1NiJ9", JOE, rs256, true),
        (p256(), "eyJhbGciOiJFUzI1NiJ9", JOE, es256, false),
        (
            ed25519(),
            "eyJhbGciOiJFZERTQSJ9",
            "RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
            eddsa,
            true,
        ),
    ] {
        let set = parse(&[key]).expect("a set");
        let key = set.iter().next().expect("a key");
        let message = format!("{header}.{payload}");
        let mut raw = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        assert!(key.public().verifies(message.as_bytes(), &raw), "{key:?}");
        let signed = key.pair.try_sign(message.as_bytes()).expect("signs");
        assert_eq!(signed == raw, repeats, "{key:?}");
        raw[20] ^= 1;
        assert!(!key.public().verifies(message.as_bytes(), &raw), "{key:?}");
    }
}

#[test]
fn the_rsa_key_of_rfc_7517_has_the_thumbprint_of_rfc_7638_as_its_kid() {
    let [_, signing] = set_of_rfc_7517();
    let mut unnamed = with(signing, "nbf", 1);
    unnamed.as_object_mut().expect("an object").remove("kid");
    let set = StoredKeys::parse(json!({"keys": [unnamed]}).to_string().as_bytes()).expect("a file");
    assert_eq!(
        set.lives().expect("a set")[0].kid,
        "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    );
}

#[test]
fn an_invalid_private_set_is_refused_with_the_keys_position_and_the_reason() {
    let [encryption, other_kid] = set_of_rfc_7517();
    let shared = json!({ "kty": "oct", "alg": "HS256", "kid": "s", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMko" });
    let mut public = with(ed25519(), "nbf", 1);
    public.as_object_mut().expect("an object").remove("d");
    let off_the_curve = with(
        with(p256(), "y", "y_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"),
        "kid",
        "off",
    );
    for (keys, why) in [
        (
            vec![encryption.clone(), other_kid.clone()],
            "key 1 (kid 1): `alg` must be ES256 for a key of this type",
        ),
        (
            vec![with(ed25519(), "alg", "Ed25519")],
            "`alg` must be EdDSA for a key of this type",
        ),
        (
            vec![with(encryption, "alg", "ES256")],
            "key 1 (kid 1): `use` must be \"sig\"",
        ),
        (
            vec![rsa(), other_kid],
            "key 2 (kid 2011-04-29): `kid` must be the key's RFC 7638 thumbprint",
        ),
        (
            vec![rsa(), shared],
            "key 2 (kid s): `kty` is \"oct\", a shared secret, which cannot be published",
        ),
        (
            vec![rsa(), off_the_curve],
            "key 2 (kid off): `x` and `y` are not a point on P-256",
        ),
        (vec![rsa(), public], "key 2: the member `d` is missing"),
        (
            vec![rsa(), with(p256(), "alg", "RS256")],
            "key 2: `alg` must be ES256",
        ),
        (
            vec![with(p256(), "crv", "P-384")],
            "key 1: `kty` and `crv` must be",
        ),
        (
            vec![with(
                p256(),
                "d",
                "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
            )],
            "or not the one of `d`",
        ),
        (
            vec![with(
                ed25519(),
                "x",
                "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            )],
            "`x` is not the public key",
        ),
        (vec![ed25519(), rsa()], "have the same `nbf`"),
    ] {
        let refused = parse(&keys).expect_err(why).to_string();
        assert!(refused.contains(why), "{refused}");
    }
    let twins = [ed25519(), with(rsa(), "nbf", 1), with(ed25519(), "nbf", 2)];
    let kid = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
    let refused = parse(&twins).expect_err("twins").to_string();
    assert_eq!(
        refused,
        format!("keys 1 (kid {kid}) and 3 (kid {kid}) have the same `kid`")
    );
}

#[test]
fn an_invalid_public_key_does_not_affect_the_others_and_a_private_member_is_not_shown() {
    let set = parse(&[ed25519(), with(rsa(), "nbf", 1), with(p256(), "nbf", 2)]).expect("a set");
    let public: PublicKeySet<'_> = set.iter().map(SigningKey::public).collect();
    let public = serde_json::to_value(&public).expect("JSON");
    let [eddsa, rs256, es256] = [0, 1, 2].map(|index| public["keys"][index].clone());
    let read = |keys: Value| {
        PublishedKeys::read(json!({ "keys": keys }).to_string().as_bytes()).expect("a set")
    };
    assert_eq!(read(public["keys"].clone()).keys.len(), 3);

    let private = ed25519()["d"].as_str().expect("d").to_owned();
    let kid = eddsa["kid"].as_str().expect("kid").to_owned();
    for (bad, why) in [
        (
            with(eddsa.clone(), "d", private.as_str()),
            format!("key 1 (kid {kid}): it has the private member `d`"),
        ),
        (
            json!({"kty": "oct", "kid": "s", "k": "AyM1"}),
            "key 1 (kid s): it has the private member `k`".into(),
        ),
        (
            with(es256.clone(), "y", es256["x"].clone()),
            "`x` and `y` are not a point on P-256".into(),
        ),
        (
            with(es256.clone(), "alg", "ES384"),
            "are not those of ES256, EdDSA, Ed25519 or RS256".into(),
        ),
        (
            with(rs256.clone(), "n", "AQAB"),
            "are not an RSA key of 2048 to 8192 bits".into(),
        ),
        (with(rs256.clone(), "use", "enc"), "`use` must be".into()),
        (with(es256.clone(), "use", 7), "`use` must be".into()),
        (
            with(es256.clone(), "key_ops", json!(["encrypt"])),
            "`key_ops` must be an array that includes".into(),
        ),
        (
            with(es256.clone(), "key_ops", "verify"),
            "`key_ops` must be an array that includes".into(),
        ),
        (
            with(eddsa.clone(), "x", "AQAB"),
            "`x` is not an Ed25519 key".into(),
        ),
        (
            with(eddsa.clone(), "x", 1),
            "the member `x` is missing".into(),
        ),
        (
            with(eddsa, "kid", "other"),
            "key 1 (kid other): `kid` must be".into(),
        ),
        (rs256.clone(), "another key has this `kid`".into()),
    ] {
        let twin = bad == rs256;
        let read = read(if twin {
            json!([rs256, bad])
        } else {
            json!([bad, rs256])
        });
        assert_eq!((read.keys.len(), read.refused.len()), (1, 1), "{why}");
        let refused = read.refused[0].to_string();
        assert!(
            refused.contains(&why) && !refused.contains(&private),
            "{refused}"
        );
    }
    let verifies = with(es256.clone(), "key_ops", json!(["sign", "verify"]));
    assert_eq!(read(json!([verifies, rs256])).keys.len(), 2);
}

#[test]
fn a_value_that_is_no_jwk_does_not_affect_the_other_keys() {
    let set = parse(&[ed25519()]).expect("a set");
    let public: PublicKeySet<'_> = set.iter().map(SigningKey::public).collect();
    let public = serde_json::to_value(&public).expect("JSON")["keys"][0].to_string();
    let too_deep = format!("{{\"x\":{}{}}}", "[".repeat(1000), "]".repeat(1000));
    let is_no_object = "key 1: it must be a JSON object, and is not one that can be read";
    for (odd, why) in [
        ("\"text\"", is_no_object),
        ("7", is_no_object),
        ("null", is_no_object),
        ("[]", is_no_object),
        (r#"{"x":1e999}"#, is_no_object),
        (&too_deep, is_no_object),
        (
            r#"{"kid":7,"x":[]}"#,
            "key 1: `kty`, `crv` and `alg` are not",
        ),
    ] {
        let read = PublishedKeys::read(format!("{{\"keys\":[{odd},{public}]}}").as_bytes())
            .expect("a set");
        assert_eq!((read.keys.len(), read.refused.len()), (1, 1), "{odd}");
        assert!(
            read.refused[0].to_string().starts_with(why),
            "{odd}: {}",
            read.refused[0]
        );
    }
    for none in [
        "[]",
        "{}",
        r#"{"keys":{}}"#,
        r#"{"keys":[7,]}"#,
        r#"{"keys":[7]"#,
    ] {
        assert!(PublishedKeys::read(none.as_bytes()).is_err(), "{none}");
    }
}
