//! examples/accounts as a process, which takes its keys from a `wxmint serve`.

use std::{collections::BTreeSet, fs, process::Command, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use serde_json::Value;
use tempfile::TempDir;
use wxmint::{
    accounts::{Accounts, Named, NewUserKey},
    http::now,
    keys::{KeyRing, KeySet},
    token::{Minter, OutgoingRequest, RequestSigner, TokenId, TokenTyp},
};

use super::{
    Client,
    logins::{alice as credentials_of_alice, log_in},
};
use crate::support::{APPID, ISSUER, PATIENCE, Process, TestBed, eventually, free_port, repository, tools};

/// examples/accounts, which fetches the keys of a `wxmint serve`.
struct Example {
    bed: TestBed,
    base: String,
    issuer: String,
    keys: KeySet,
    _process: Process,
    _folder: TempDir,
}

impl Example {
    /// With a user `alice`, whose password is `wonderland`.
    async fn start() -> Self {
        let (port, address) = (free_port().to_string(), format!("127.0.0.1:{}", free_port()));
        let (base, issuer) = (format!("http://127.0.0.1:{port}"), format!("http://{address}"));
        let bed = TestBed::builder().env("WXMINT_ISSUER", &issuer).env("WXMINT_LISTEN", &address);
        let bed = bed.env("WXMINT_ACCOUNTS", &base).start().await;
        let folder = tempfile::tempdir().expect("a folder");
        let flask = || {
            let mut flask = Command::new(tools("python/bin/flask"));
            flask.current_dir(repository("examples/accounts")).env("DATABASE", folder.path().join("users.db"));
            flask.envs([("WXMINT_ISSUER", &issuer), ("WXMINT_ACCOUNTS", &base)]);
            // A proxy of the machine's would be asked for the keys.
            flask.envs([("NO_PROXY", "127.0.0.1"), ("no_proxy", "127.0.0.1"), ("PYTHONDONTWRITEBYTECODE", "1")]);
            flask
        };
        let added = flask().args(["add-user", "alice", "--password", "wonderland"]).status().expect("Flask");
        assert!(added.success());
        let process = Process::spawn("the example", flask().args(["run", "--port", &port]));
        let file = fs::read(bed.configuration.value("WXMINT_KEYS")).expect("the key file");
        let mut keys: Value = serde_json::from_slice(&file).expect("JSON");
        // So that it signs what is old, too.
        keys["keys"][0]["nbf"] = 0.into();
        let keys = KeySet::parse(keys.to_string().as_bytes()).expect("keys");
        eventually("the example listens", PATIENCE, async || bed.http.0.get(&base).send().await.ok()).await;
        Self { bed, base, issuer, keys, _process: process, _folder: folder }
    }

    /// As a worker of that `wxmint serve` has it.
    fn client(&self) -> Client {
        Client::with_keys(&self.base, &self.issuer, self.keys.clone())
    }

    /// The status that a request gets, whoever made it.
    async fn status(&self, token: &str, path: &str, body: &str) -> u16 {
        let request = self.bed.http.0.post(format!("{}{path}", self.base)).bearer_auth(token);
        self.bed.http.send(request.header("content-type", "application/json").body(body.to_owned())).await.status
    }

    /// Signed by the service's key, as [`BODY`] for `/users` unless something is spoiled.
    fn signed(&self, issuer: &str, audience: &str, (method, path): (&str, &str), at: DateTime<Utc>) -> String {
        let signer = RequestSigner::new(issuer.to_owned(), audience.to_owned(), self.ring());
        let url = format!("{}{path}", self.base);
        let request = OutgoingRequest { method, url: &url, body: BODY.as_bytes() };
        let id = TokenId::random().expect("bits");
        signer.sign(request, &id, at).expect("a token").expose().to_owned()
    }

    fn ring(&self) -> Arc<KeyRing> {
        Arc::new(KeyRing::new(self.keys.clone(), TimeDelta::minutes(30), now()).expect("keys that sign"))
    }
}

const BODY: &str = r#"{"idempotency_key":"key"}"#;

#[tokio::test]
async fn the_example_answers_the_three_calls_and_makes_no_user_twice() {
    let example = Example::start().await;
    let client = example.client();
    let alice = client.alice().await.expect("an answer").expect("her password");
    assert_eq!(client.alice().await, Ok(Some(alice.clone())));
    assert_eq!(client.password("alice", "a guess").await, Ok(None));
    assert_eq!(client.password("名".repeat(512).as_str(), "wonderland").await, Ok(None));

    let rivals = join_all((0..20).map(|_| client.new_user("one key"))).await;
    let made: BTreeSet<_> = rivals.into_iter().map(|named| named.expect("a user")).map(|named| named.user).collect();
    assert_eq!(made.len(), 1);
    let rivals = join_all((0..20).map(|_| client.phone("86", "13800138000"))).await;
    let found: Vec<Named> = rivals.into_iter().map(|named| named.expect("an answer").expect("a user")).collect();
    assert!(found.iter().all(|named| named.user == found[0].user) && !made.contains(&found[0].user));
    assert_eq!(found.iter().filter(|named| named.made).count(), 1, "{found:?}");

    let bound = log_in(&example.bed, "lin", credentials_of_alice("wonderland")).await.expect_login();
    assert_eq!(bound.member("user_id"), alice.as_str());
}

#[tokio::test]
async fn the_example_answers_nobody_but_wxmint() {
    let example = Example::start().await;
    let (issuer, base, users) = (&*example.issuer, &*example.base, ("POST", "/users"));
    let sound = || example.signed(issuer, base, users, now());
    assert_eq!(example.status(&sound(), "/users", BODY).await, 200);
    let stranger = Client::of(base).accounts;
    let refused = stranger.new_user(&NewUserKey("key".to_owned()), now()).await.expect_err("another key");
    assert!(refused.reason.contains("401"), "{refused}");

    assert_eq!(example.status(&sound(), "/users", r#"{"idempotency_key":"another"}"#).await, 401, "another body");
    assert_eq!(example.status(&sound(), "/users/by-phone", BODY).await, 401, "another path");
    let minter = Minter::new(issuer.into(), vec![base.into()], TokenTyp::AccessToken, HOUR, example.ring());
    let (user, app) = ("lin".parse().expect("a user"), APPID.parse().expect("an app"));
    let access = minter.mint(&user, &app, &TokenId::random().expect("bits"), now()).expect("a token");
    for (what, token) in [
        ("no token", String::new()),
        ("an access token", access.expose().to_owned()),
        ("another issuer's", example.signed(ISSUER, base, users, now())),
        ("for another service", example.signed(issuer, "https://other.example", users, now())),
        ("for another method", example.signed(issuer, base, ("GET", "/users"), now())),
        ("an old one", example.signed(issuer, base, users, now() - TimeDelta::seconds(125))),
    ] {
        assert_eq!(example.status(&token, "/users", BODY).await, 401, "{what}");
    }
}

const HOUR: Duration = Duration::from_secs(3600);
