//! The computations: signing, sealing and parsing in a login; verifying; ended tokens; user data; and the JWKS.

use std::{env, hint::black_box, sync::Arc, time::Duration};

use aws_lc_rs::cipher::{AES_128, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use divan::Bencher;
use serde_json::{Value, json};
use wxmint::issuer::LoginBody;
use wxmint_ids::{AppId, LoginCode, OpenId, Person, Platform, UserId};
use wxmint_keys::token::{ExtraClaims, Minter, new_token_id};
use wxmint_keys::vault::Vault;
use wxmint_keys::{KeyRing, KeySet, PrivateJwk, SIGNED_WITH, StoredKeys};
use wxmint_telemetry::{Step, Trace, Traces};
use wxmint_verify::revocations::{
    RevocableToken, RevocationEntry, RevocationFeed, RevocationHash, RevocationSet, RevocationsPage,
};
use wxmint_verify::{Algorithm, PublicKeySet, TokenTyp, Verifier, VerifierPolicy};
use wxmint_wechat::{Api, DataCheck, SessionKey, UserData, read_session};

fn main() {
    // With a collector that is not there, and OTEL_TRACES_SAMPLER=always_off, so that nothing is sampled and sent.
    let is_on = env::var_os("OTEL_EXPORTER_OTLP_ENDPOINT").is_some();
    let traces = is_on.then(|| Traces::start(Duration::from_secs(1)).expect("an endpoint"));
    divan::main();
    drop(traces);
}

/// Traces add this to a silent login that is not sampled: the decision, and its four steps. Without
/// `OTEL_EXPORTER_OTLP_ENDPOINT` traces are off.
#[divan::bench]
fn traces_of_a_login(bencher: Bencher<'_, '_>) {
    bencher.bench(|| {
        black_box(Trace::of_request(black_box(None), true));
        black_box(Trace::current());
        for step in ["claim_code", "code2session", "record_login", "sign"] {
            drop(Step::call("redis", black_box(step), Duration::ZERO));
        }
    });
}

/// Any time; nothing here depends on it.
fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).expect("a date")
}

fn keys(algorithm: Algorithm) -> KeySet {
    let key = PrivateJwk::generate(algorithm, now()).expect("a key");
    StoredKeys::of([key]).check().expect("a set")
}

fn ring(algorithm: Algorithm) -> KeyRing {
    KeyRing::new(keys(algorithm), now()).expect("a ring")
}

fn app() -> AppId {
    "wx0123456789abcdef".parse().expect("an AppID")
}

fn person() -> Person {
    Person {
        platform: Platform::WeChat,
        app: app(),
        openid: "o6_bmjrPTlm6_2sgVt7hMZOPfL2M"
            .parse::<OpenId>()
            .expect("an openid"),
    }
}

const ISSUER: &str = "https://login.example.com";

fn minter(keys: KeyRing) -> Minter {
    let day = Duration::from_hours(24);
    Minter::new(
        ISSUER.into(),
        vec![ISSUER.into()],
        TokenTyp::AccessToken,
        day,
        Arc::new(keys),
    )
}

fn user() -> UserId {
    "0193f5b2-9c5e-7cc0-8000-000000000000"
        .parse()
        .expect("a user")
}

/// Signs a token, from its claims to the compact form, including its `jti`.
#[divan::bench(args = SIGNED_WITH)]
fn mint(bencher: Bencher<'_, '_>, algorithm: Algorithm) {
    let (minter, user, app) = (minter(ring(algorithm)), user(), app());
    bencher.bench(|| {
        let id = new_token_id();
        let token = minter.issued(black_box(&user).clone(), app.clone(), id, now());
        minter
            .mint(&token, &ExtraClaims::default(), now())
            .expect("a token")
    });
}

mod verify {
    use super::*;

    fn token(algorithm: Algorithm) -> (KeySet, String) {
        let keys = keys(algorithm);
        let minter = minter(KeyRing::new(keys.clone(), now()).expect("a ring"));
        let id = new_token_id();
        let token = minter.issued(user(), app(), id, now());
        let token = minter
            .mint(&token, &ExtraClaims::default(), now())
            .expect("a token");
        (keys, token.expose().to_owned())
    }

    fn verifier() -> Verifier {
        Verifier::new(VerifierPolicy::new(ISSUER, [ISSUER])).expect("a policy")
    }

    /// Verifies a token, from its compact form to its claims.
    #[divan::bench(args = SIGNED_WITH)]
    fn valid(bencher: Bencher<'_, '_>, algorithm: Algorithm) {
        let (verifier, (keys, token)) = (verifier(), token(algorithm));
        bencher.bench(|| {
            verifier
                .verify(black_box(&token), &keys, now())
                .expect("believed")
        });
    }

    /// All checks except the signature: the token of another key.
    #[divan::bench]
    fn of_an_unknown_key(bencher: Bencher<'_, '_>) {
        let (verifier, (_, token), (keys, _)) =
            (verifier(), token(Algorithm::Es256), token(Algorithm::EdDsa));
        bencher.bench(|| {
            verifier
                .verify(black_box(&token), &keys, now())
                .expect_err("unknown")
        });
    }
}

mod ended {
    use super::*;

    const A_PAGE: usize = 5_000;

    /// A verifier holds this when it has read so many ends of a feed.
    fn held(number: usize, keys: &KeySet) -> Arc<RevocationSet> {
        let minter = minter(KeyRing::new(keys.clone(), now()).expect("a ring"));
        let (mut feed, second) = (RevocationFeed::of(ISSUER), now().timestamp());
        for first in (0..number).step_by(A_PAGE) {
            let hash = |end: usize| RevocationHash::of(ISSUER, &end.to_string());
            let until = second + 86_400;
            let end = |end| match end % 10 {
                0 => RevocationEntry::User {
                    user: hash(end),
                    before: second,
                    until,
                },
                1 => RevocationEntry::UserInApp {
                    user_in_app: hash(end),
                    before: second,
                    until,
                },
                _ => RevocationEntry::Token {
                    token: hash(end),
                    until,
                },
            };
            let page = RevocationsPage {
                iss: ISSUER.to_owned(),
                iat: second,
                exp: second + 300,
                after: feed.cursor().to_owned(),
                cursor: first.to_string(),
                more: first + A_PAGE < number,
                revoked: (first..number.min(first + A_PAGE)).map(end).collect(),
            };
            feed.accept(
                &minter.sign_page(&page, now()).expect("a page"),
                keys,
                now(),
            )
            .expect("accepted");
        }
        assert_eq!(feed.revocations().count(), number);
        feed.revocations()
    }

    /// A sidecar asks this for each token, whether it remembers it or not.
    #[divan::bench(args = [0, 1_000_000])]
    fn ask(bencher: Bencher<'_, '_>, number: usize) {
        const TOKENS: usize = 500;
        let keys = keys(Algorithm::EdDsa);
        let verifier = Verifier::new(VerifierPolicy::new(ISSUER, [ISSUER])).expect("a policy");
        let minter = minter(KeyRing::new(keys.clone(), now()).expect("a ring"));
        let tokens: Vec<RevocableToken> = (0..TOKENS)
            .map(|index| {
                let user = format!("0193f5b2-9c5e-7cc0-8000-{index:012}")
                    .parse()
                    .expect("a user");
                let id = new_token_id();
                let token = minter.issued(user, app(), id, now());
                let token = minter
                    .mint(&token, &ExtraClaims::default(), now())
                    .expect("a token");
                RevocableToken::of(
                    ISSUER,
                    &verifier
                        .verify(token.expose(), &keys, now())
                        .expect("believed"),
                    "a key",
                )
            })
            .collect();
        let (ends, mut next) = (held(number, &keys), tokens.iter().cycle());
        bencher.bench_local(|| ends.is_revoked(black_box(next.next().expect("a cycle"))));
    }
}

mod vault {
    use super::*;

    fn vault() -> Vault {
        Vault::parse((STANDARD.encode([7; 32]) + "\n").as_bytes()).expect("a vault")
    }

    fn session_key() -> SessionKey {
        SessionKey::new("HyVFkGl5F5OQWJZZaNzBBg==")
    }

    #[divan::bench]
    fn seal(bencher: Bencher<'_, '_>) {
        let (vault, key, person) = (vault(), session_key(), person());
        bencher.bench(|| vault.seal(black_box(&key).expose(), &person));
    }

    #[divan::bench]
    fn open(bencher: Bencher<'_, '_>) {
        let (vault, person) = (vault(), person());
        let sealed = vault.seal(session_key().expose(), &person);
        bencher.bench(|| vault.open(black_box(&sealed), &person).expect("opened"));
    }
}

mod user_data {
    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODw==";
    const MAX_AGE: Duration = Duration::from_mins(10);

    /// A month of steps, encrypted as WeChat does, with a plaintext of `length` bytes.
    fn sealed(length: usize) -> UserData {
        let text = |filling: &str, steps: &[Value]| {
            let watermark = json!({"timestamp": now().timestamp(), "appid": app()});
            json!({"stepInfoList": steps, "filling": filling, "watermark": watermark}).to_string()
        };
        let steps: Vec<Value> = (0..length / 40)
            .map(|day| json!({"timestamp": 1_700_000_000 + day, "step": day}))
            .collect();
        let filling = "x".repeat(length - text("", &steps).len());
        let key = STANDARD.decode(KEY).expect("a key");
        let key = UnboundCipherKey::new(&AES_128, &key)
            .and_then(PaddedBlockEncryptingKey::cbc_pkcs7)
            .expect("a key");
        let mut bytes = text(&filling, &steps).into_bytes();
        key.less_safe_encrypt(&mut bytes, EncryptionContext::Iv128((&[0; 16]).into()))
            .expect("sealed");
        UserData::encrypted(&STANDARD.encode(bytes), &STANDARD.encode([0; 16])).expect("a form")
    }

    #[divan::bench(args = [1024, 64 * 1024])]
    fn open(bencher: Bencher<'_, '_>, length: usize) {
        let (data, key, person) = (sealed(length), SessionKey::new(KEY), person());
        let check = || DataCheck {
            person: &person,
            now: now(),
            max_age: MAX_AGE,
        };
        bencher.bench(|| data.open(black_box(&key), &check()).expect("opened"));
    }

    /// Data that an attacker has changed.
    #[divan::bench]
    fn refuse(bencher: Bencher<'_, '_>) {
        let (data, person) = (sealed(1024), person());
        let key = SessionKey::new("HyVFkGl5F5OQWJZZaNzBBg==");
        let check = || DataCheck {
            person: &person,
            now: now(),
            max_age: MAX_AGE,
        };
        bencher.bench(|| {
            assert!(
                data.open(black_box(&key), &check()).is_none(),
                "another key"
            );
        });
    }
}

mod jwks {
    use super::*;

    /// The cost for each request.
    #[divan::bench]
    fn document(bencher: Bencher<'_, '_>) {
        let ring = ring(Algorithm::Es256);
        bencher.bench(|| {
            serde_json::to_string(
                &ring
                    .set()
                    .visible(black_box(now()))
                    .collect::<PublicKeySet<'_>>(),
            )
        });
    }
}

mod read {
    use super::*;

    #[divan::bench]
    fn login_as_json(bencher: Bencher<'_, '_>) {
        let body = br#"{"code":"0e3Xk7000Y8bzS1Qbq100k8Abc2Xk70h"}"#;
        bencher.bench(|| LoginBody::from_json(black_box(body)).expect("a login"));
    }

    #[divan::bench]
    fn login_as_form(bencher: Bencher<'_, '_>) {
        let body = b"code=0e3Xk7000Y8bzS1Qbq100k8Abc2Xk70h";
        bencher.bench(|| LoginBody::from_form(black_box(body)).expect("a login"));
    }

    #[divan::bench]
    fn code(bencher: Bencher<'_, '_>) {
        bencher.bench(|| {
            black_box("0e3Xk7000Y8bzS1Qbq100k8Abc2Xk70h")
                .parse::<LoginCode>()
                .expect("a code")
        });
    }

    #[divan::bench]
    fn wechat_answer(bencher: Bencher<'_, '_>) {
        let body = br#"{"session_key":"O\/YVQPHxQY18DrsFq+\/bjQ==","openid":"o6_bmjrPTlm6_2sgVt7hMZOPfL2M","unionid":"o6_bmasdasdsad6_2sgVt7hMZOPfL"}"#;
        bencher.bench(|| read_session(Api::Code2Session, black_box(body)).expect("a session"));
    }
}
