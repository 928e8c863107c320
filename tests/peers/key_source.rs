//! Keys that come and go, for programs that fetch them: an address whose answers a test chooses.

use std::{fs, process::Command, time::Duration};

use serde_json::{Value, json};

use crate::checks::says_503_without_keys;
use crate::example::Example;
use crate::forge;
use crate::scene::Scene;
use crate::support::{Answering, Manner, PATIENCE, Step, TestBed, eventually, until};

const PATH: &str = "/jwks.json";

pub(crate) struct KeySource(Answering);

impl KeySource {
    pub(crate) async fn start(scene: &Scene) -> Self {
        let source = Self(Answering::start());
        source.give(&keys_of(&scene.bed).await);
        source
    }

    /// Gives no key that can be used.
    pub(crate) fn with_bad_keys(scene: &Scene) -> Self {
        let source = Self(Answering::start());
        source.give(&forge::bad_keys(&scene.canary.key));
        source
    }

    pub(crate) fn url(&self) -> String {
        self.0.url(PATH)
    }

    /// Returns when whoever asks by itself has asked since, and has dealt with that answer: it asks again only then.
    pub(crate) async fn is_asked_again(&self) {
        let before = self.0.calls_of(PATH).len();
        until("it asks for keys", PATIENCE, async || {
            self.0.calls_of(PATH).len() >= before + 3
        })
        .await;
    }

    pub(crate) fn give(&self, keys: &[Value]) {
        self.0.at(
            PATH,
            Manner::says("200 OK", "", json!({"keys": keys}).to_string()),
        );
    }
}

pub(crate) async fn keys_of(bed: &TestBed) -> Vec<Value> {
    let jwks = bed.service().get("/.well-known/jwks.json").await.json();
    jwks["keys"].as_array().expect("keys").clone()
}

/// The example learns a new key, of another algorithm, and forgets a removed one, when `look` has had it look. Nonsense
/// and silence cost it nothing, and a bad key among good ones is as if it were not there.
pub(crate) async fn follow(
    scene: &Scene,
    example: &Example,
    source: &KeySource,
    look: impl AsyncFn(),
) {
    let next = TestBed::builder()
        .algorithm("RS256")
        .env("WXMINT_ISSUER", &scene.issuer)
        .start()
        .await;
    let (old, new) = (keys_of(&scene.bed).await, keys_of(&next).await);
    let new_token = next
        .log_in("lin")
        .await
        .expect_login()
        .member("access_token");
    let old_token = &*scene.lin.token;
    example.becomes(old_token, 200, "the first key").await;
    example
        .becomes(&new_token, 401, "a key that is not published")
        .await;

    source.give(&[old, new.clone()].concat());
    look().await;
    example.becomes(&new_token, 200, "a new key").await;
    example
        .becomes(old_token, 200, "the first key beside a new one")
        .await;

    for (what, reply) in nonsense(scene) {
        source.0.at(PATH, reply);
        look().await;
        example.becomes(&new_token, 200, what).await;
        example.becomes(old_token, 200, what).await;
    }
    assert!(
        scene.canary.seen().is_empty(),
        "a redirect is followed: {:?}",
        scene.canary.seen()
    );

    source.give(&[forge::bad_keys(&scene.canary.key), new.clone(), new].concat());
    look().await;
    example.becomes(old_token, 401, "a removed key").await;
    example
        .becomes(&new_token, 200, "a good key among bad ones")
        .await;
    takes_no_bad_key(scene, example).await;

    source.0.at(PATH, Manner::does(vec![Step::Reset]));
    look().await;
    example.becomes(&new_token, 200, "no answer at all").await;
}

/// The example has no keys while `source` gives bad ones alone, and takes the scene's keys alone from among them.
pub(crate) async fn bad_keys_spoil_themselves_only(
    scene: &Scene,
    example: &Example,
    source: &KeySource,
) {
    source.is_asked_again().await;
    says_503_without_keys(scene, example).await;
    let good = keys_of(&scene.bed).await;
    source.give(&[forge::bad_keys(&scene.canary.key), good.clone(), good].concat());
    eventually("it has keys", PATIENCE, async || {
        scene.is_let_in(example).await
    })
    .await;
    takes_no_bad_key(scene, example).await;
}

async fn takes_no_bad_key(scene: &Scene, example: &Example) {
    let forge = scene.forge();
    for jwk in forge::bad_keys(&scene.canary.key) {
        let token = forge.by_other(
            &forge.header_with(json!({"kid": jwk["kid"]})),
            &forge.claims,
        );
        example
            .becomes(&token, 401, &format!("the bad key {jwk}"))
            .await;
    }
}

fn nonsense(scene: &Scene) -> Vec<(&'static str, Manner)> {
    let begun = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"keys\":[".to_vec();
    let redirect = format!("Location: {}\r\n", scene.canary.jwks_url());
    let long = json!({"keys": [scene.canary.key.jwk], "padding": "x".repeat(10 << 20)}).to_string();
    let forged = json!({"keys": [scene.canary.key.jwk]}).to_string();
    let unusable = forge::bad_keys(&scene.canary.key);
    let ok = |body: &str| Manner::says("200 OK", "", body);
    vec![
        ("HTML", ok("<html>maintenance</html>")),
        ("an empty body", ok("")),
        ("an empty set", ok(r#"{"keys":[]}"#)),
        (
            "a set without a usable key",
            ok(&json!({"keys": unusable}).to_string()),
        ),
        (
            "another document",
            ok(r#"{"issuer":"https://login.example.com"}"#),
        ),
        ("half a set", ok(r#"{"keys":[{"kty":"EC","crv":"P-256","#)),
        ("10 MiB", ok(&long)),
        (
            "10 MiB, packed",
            Manner::says("200 OK", "Content-Encoding: gzip\r\n", packed(&long)),
        ),
        ("500", Manner::says("500 Internal Server Error", "", forged)),
        ("a redirect", Manner::says("302 Found", &redirect, "")),
        ("silence", Manner::does(vec![Step::Stall])),
        (
            "half a set, and then silence",
            Manner::does(vec![Step::Send(begun), Step::Stall]),
        ),
        (
            "a head without an end",
            Manner::does(vec![Step::Repeat(
                b"HTTP".to_vec(),
                Duration::from_millis(20),
            )]),
        ),
    ]
}

fn packed(text: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("text");
    fs::write(&file, text).expect("written");
    Command::new("gzip")
        .arg("--stdout")
        .arg(file)
        .output()
        .expect("gzip")
        .stdout
}
