//! The parts of a login that compute: signing, sealing, reading what strangers send; and the JWKS.

use std::{hint::black_box, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use divan::Bencher;
use wxmint::{
    ids::{AppId, LoginCode, OpenId, UserId},
    issuer::LoginFields,
    keys::{Algorithm, JwksDocument, KeyRing, KeySet, PrivateJwk, StoredKeys},
    store::{Person, Vault},
    token::{Minter, TokenId, TokenTyp},
    wechat::{SessionKey, read_answer},
};

fn main() {
    divan::main();
}

/// Any moment: nothing here depends on which.
fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).expect("a date")
}

fn keys(algorithm: Algorithm) -> KeySet {
    let key = PrivateJwk::generate(algorithm, now()).expect("a key");
    StoredKeys::of(key).check().expect("a set")
}

const LEAD: TimeDelta = TimeDelta::minutes(30);

fn ring(algorithm: Algorithm) -> KeyRing {
    KeyRing::new(keys(algorithm), LEAD, now()).expect("a ring")
}

fn app() -> AppId {
    "wx0123456789abcdef".parse().expect("an AppID")
}

fn person() -> Person {
    Person { app: app(), openid: "o6_bmjrPTlm6_2sgVt7hMZOPfL2M".parse::<OpenId>().expect("an openid") }
}

/// A token from claims to compact form, its `jti` included.
#[divan::bench(args = Algorithm::ALL)]
fn mint(bencher: Bencher<'_, '_>, algorithm: Algorithm) {
    let (issuer, day) = ("https://login.example.com", Duration::from_secs(86_400));
    let keys = Arc::new(ring(algorithm));
    let minter = Minter::new(issuer.into(), vec![issuer.into()], TokenTyp::AccessToken, day, keys);
    let user: UserId = "0193f5b2-9c5e-7cc0-8000-000000000000".parse().expect("a user");
    let app = app();
    bencher.bench(|| {
        let id = TokenId::random().expect("random bits");
        minter.mint(black_box(&user), &app, &id, now()).expect("a token")
    });
}

mod vault {
    use super::*;

    fn vault() -> Vault {
        Vault::parse(STANDARD.encode([7; 32]).as_bytes()).expect("a vault")
    }

    fn session_key() -> SessionKey {
        SessionKey::new("HyVFkGl5F5OQWJZZaNzBBg==")
    }

    #[divan::bench]
    fn seal(bencher: Bencher<'_, '_>) {
        let (vault, key, person) = (vault(), session_key(), person());
        bencher.bench(|| vault.seal(black_box(&key), &person).expect("sealed"));
    }

    #[divan::bench]
    fn open(bencher: Bencher<'_, '_>) {
        let (vault, person) = (vault(), person());
        let sealed = vault.seal(&session_key(), &person).expect("sealed");
        bencher.bench(|| vault.open(black_box(&sealed), &person).expect("opened"));
    }
}

mod jwks {
    use super::*;

    /// What a request pays.
    #[divan::bench]
    fn document(bencher: Bencher<'_, '_>) {
        let ring = ring(Algorithm::Es256);
        bencher.bench(|| ring.at(black_box(now())).document().max_age(now()));
    }

    /// What is paid when the set of visible keys changes.
    #[divan::bench]
    fn prepare(bencher: Bencher<'_, '_>) {
        let keys = keys(Algorithm::Es256);
        bencher.bench(|| JwksDocument::prepare(black_box(&keys), LEAD, now()));
    }
}

mod read {
    use super::*;

    #[divan::bench]
    fn login_as_json(bencher: Bencher<'_, '_>) {
        let body = br#"{"code":"0e3Xk7000Y8bzS1Qbq100k8Abc2Xk70h"}"#;
        bencher.bench(|| LoginFields::from_json(black_box(body)).and_then(LoginFields::into_request).expect("a login"));
    }

    #[divan::bench]
    fn login_as_form(bencher: Bencher<'_, '_>) {
        let body = b"code=0e3Xk7000Y8bzS1Qbq100k8Abc2Xk70h";
        bencher.bench(|| LoginFields::from_form(black_box(body)).and_then(LoginFields::into_request).expect("a login"));
    }

    #[divan::bench]
    fn code(bencher: Bencher<'_, '_>) {
        bencher.bench(|| black_box("0e3Xk7000Y8bzS1Qbq100k8Abc2Xk70h").parse::<LoginCode>().expect("a code"));
    }

    #[divan::bench]
    fn wechat_answer(bencher: Bencher<'_, '_>) {
        let body = br#"{"session_key":"O\/YVQPHxQY18DrsFq+\/bjQ==","openid":"o6_bmjrPTlm6_2sgVt7hMZOPfL2M","unionid":"o6_bmasdasdsad6_2sgVt7hMZOPfL"}"#;
        bencher.bench(|| read_answer(black_box(body)).expect("a session"));
    }
}
