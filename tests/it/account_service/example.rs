//! examples/accounts as a process, which takes its keys from a `wxmint serve`.

use chrono::{DateTime, TimeDelta, Utc};
use wxmint::accounts::Named;
use wxmint::clock::now;
use wxmint_keys::KeySet;
use wxmint_keys::token::new_token_id;

use super::logins::alice as credentials_of_alice;
use super::{Client, minter};
use crate::support::go;
use crate::support::prelude::*;

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
        let port = free_port().to_string();
        let base = format!("http://127.0.0.1:{port}");
        let bed = TestBed::builder()
            .at_its_issuer()
            .envs(&[("WXMINT_ACCOUNTS", &base), ("WXMINT_AUDIENCE", &base)]);
        let bed = bed.start().await;
        let issuer = bed.issuer().to_owned();
        let folder = tempfile::tempdir().expect("a folder");
        let flask = || {
            let mut flask = Command::new(tools("python/bin/flask"));
            flask
                .current_dir(repository("examples/accounts"))
                .env("DATABASE", folder.path().join("users.db"));
            flask.envs([("WXMINT_ISSUER", &issuer), ("WXMINT_ACCOUNTS", &base)]);
            // A proxy of the machine's would be asked for the keys.
            flask.envs([
                ("NO_PROXY", "127.0.0.1"),
                ("no_proxy", "127.0.0.1"),
                ("PYTHONDONTWRITEBYTECODE", "1"),
            ]);
            flask
        };
        let words = [
            "add-user",
            "alice",
            "--password",
            "wonderland",
            "--roles",
            "admin,editor",
        ];
        Ended::of(flask().args(words), "").expect_end(0, &["alice added, user id "]);
        let process = Process::spawn("the example", flask().args(["run", "--port", &port]));
        let file = fs::read(bed.configuration.value("WXMINT_KEYS")).expect("the key file");
        let mut keys: Value = serde_json::from_slice(&file).expect("JSON");
        // So that it signs what is old, too.
        keys["keys"][0]["nbf"] = 0.into();
        let keys = KeySet::parse(keys.to_string().as_bytes()).expect("keys");
        eventually("the example listens", PATIENCE, async || {
            bed.http.0.get(&base).send().await.ok()
        })
        .await;
        Self {
            bed,
            base,
            issuer,
            keys,
            _process: process,
            _folder: folder,
        }
    }

    /// The status that a request for `/users` gets, whoever made it.
    async fn status(&self, token: &str, body: &str) -> u16 {
        let request = self
            .bed
            .http
            .0
            .post(format!("{}/users", self.base))
            .bearer_auth(token);
        self.bed
            .http
            .send(
                request
                    .header("content-type", "application/json")
                    .body(body.to_owned()),
            )
            .await
            .status
    }

    /// A request of [`BODY`] for `/users`, signed as wxmint signs it.
    fn sound(&self) -> String {
        self.signed(&self.issuer, &self.base, ("POST", "/users"), now())
    }

    /// Tokens that must be refused with such a request, each for one thing.
    fn spoiled(&self, access_token: &str) -> Vec<(&'static str, String)> {
        let (issuer, base, users) = (&*self.issuer, &*self.base, ("POST", "/users"));
        vec![
            ("no token", String::new()),
            ("an access token", access_token.to_owned()),
            ("another issuer's", self.signed(ISSUER, base, users, now())),
            (
                "for another service",
                self.signed(issuer, "https://other.example", users, now()),
            ),
            (
                "for another method",
                self.signed(issuer, base, ("GET", "/users"), now()),
            ),
            (
                "for another path",
                self.signed(issuer, base, ("POST", "/users/by-phone"), now()),
            ),
            (
                "an old one",
                self.signed(issuer, base, users, now() - TimeDelta::seconds(125)),
            ),
        ]
    }

    /// Signed by the service's key, as [`BODY`] for `/users` unless something is spoiled.
    fn signed(
        &self,
        issuer: &str,
        audience: &str,
        (method, path): (&str, &str),
        at: DateTime<Utc>,
    ) -> String {
        let (url, id) = (format!("{}{path}", self.base), new_token_id());
        let signed = minter(issuer, self.keys.clone()).sign_request(
            audience,
            (method, &url),
            BODY.as_bytes(),
            &id,
            at,
        );
        signed.expect("a token").expose().to_owned()
    }
}

const BODY: &str = r#"{"idempotency_key":"key"}"#;
const OTHER_BODY: &str = r#"{"idempotency_key":"another"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_example_makes_no_user_twice_and_it_and_its_checks_for_node_and_go_answer_nobody_but_wxmint()
 {
    let example = Example::start().await;
    // As a worker of that `wxmint serve` has it.
    let client = Client::with_keys(&example.base, &example.issuer, example.keys.clone());
    let alice = client
        .alice()
        .await
        .expect("an answer")
        .expect("her password");
    assert_eq!(client.alice().await, Ok(Some(alice.clone())));
    assert_eq!(client.password("alice", "a guess").await, Ok(None));
    assert_eq!(
        client
            .password("名".repeat(512).as_str(), "wonderland")
            .await,
        Ok(None)
    );

    let rivals = join_all((0..20).map(|_| client.new_user("one key"))).await;
    let made: BTreeSet<_> = rivals
        .into_iter()
        .map(|named| named.expect("a user"))
        .map(|named| named.user)
        .collect();
    assert_eq!(made.len(), 1);
    let rivals = join_all((0..20).map(|_| client.phone("86", "13800138000"))).await;
    let found: Vec<Named> = rivals
        .into_iter()
        .map(|named| named.expect("an answer").expect("a user"))
        .collect();
    assert!(
        found.iter().all(|named| named.user == found[0].user) && !made.contains(&found[0].user)
    );
    assert_eq!(
        found.iter().filter(|named| named.made).count(),
        1,
        "{found:?}"
    );

    let Ok(Some(claims)) = client.admission(alice.as_str()).await else {
        panic!("alice may log in")
    };
    assert_eq!(json!(claims)["roles"], json!(["admin", "editor"]));
    assert_eq!(client.admission("nobody").await, Ok(None));

    let bound = example
        .bed
        .log_in_with("lin", credentials_of_alice("wonderland"))
        .await
        .expect_login();
    assert_eq!(bound.member("user_id"), alice.as_str());

    assert_eq!(example.status(&example.sound(), BODY).await, 200);
    assert!(node_accepts(&example, &example.sound(), BODY));
    let go = GoCheck::build();
    assert!(go.accepts(&example, &example.sound(), BODY));
    assert_eq!(
        example.status(&example.sound(), OTHER_BODY).await,
        401,
        "another body"
    );
    assert!(!node_accepts(&example, &example.sound(), OTHER_BODY));
    assert!(!go.accepts(&example, &example.sound(), OTHER_BODY));
    for (what, token) in example.spoiled(&bound.member("access_token")) {
        assert_eq!(example.status(&token, BODY).await, 401, "{what}");
        assert!(!node_accepts(&example, &token, BODY), "{what}");
        assert!(!go.accepts(&example, &token, BODY), "{what}");
    }
    let refused = Client::of(&example.base)
        .new_user("key")
        .await
        .expect_err("another key");
    assert!(refused.reason.contains("401"), "{refused}");
}

/// Whether examples/accounts/signature.mjs lets a request of `/users` through.
fn node_accepts(example: &Example, token: &str, body: &str) -> bool {
    let folder = node_folder();
    fs::copy(
        repository("examples/accounts/signature.mjs"),
        folder.path().join("signature.mjs"),
    )
    .expect("our own file");
    let script = "import { requestVerifier } from './signature.mjs';
        const [issuer, base, token, body] = process.argv.slice(1);
        requestVerifier(issuer, base)(`Bearer ${token}`, 'POST', '/users', Buffer.from(body))
            .catch((error) => { console.log(error.message); process.exitCode = 1; });";
    let mut node = Command::new("node");
    node.current_dir(folder.path())
        .args(["--input-type=module", "--eval", script]);
    let output = node
        .args([&example.issuer, &example.base, token, body])
        .output()
        .expect("Node");
    // A request that is refused is refused with a reason, and not for a mistake in the script.
    assert!(
        output.stderr.is_empty() && output.status.success() == output.stdout.is_empty(),
        "{output:?}"
    );
    output.status.success()
}

/// examples/accounts/signature.go with the files that it names, as a program.
struct GoCheck(TempDir);

impl GoCheck {
    fn build() -> Self {
        const MAIN: &str = r#"package main

import (
	"fmt"
	"os"
	"time"
)

func main() {
	keys := &keySet{url: os.Args[1] + "/.well-known/jwks.json"}
	if !keys.refresh() {
		panic("no keys")
	}
	verifier := &requestVerifier{issuer: os.Args[1], baseURL: os.Args[2], keys: keys}
	if err := verifier.verify("Bearer "+os.Args[3], "/users", []byte(os.Args[4]), time.Now()); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
"#;
        let folder = tempfile::tempdir().expect("a folder");
        for file in [
            "peers/go/keys.go",
            "peers/go/token.go",
            "peers/go/revocations.go",
            "peers/go/go.mod",
            "peers/go/go.sum",
            "accounts/signature.go",
        ] {
            let from = repository("examples").join(file);
            let name = from.file_name().expect("a name").to_owned();
            fs::copy(from, folder.path().join(name)).expect("a copy");
        }
        fs::write(folder.path().join("main.go"), MAIN).expect("written");
        let mut build = Command::new(go());
        build
            .args(["build", "-o", "check", "."])
            .current_dir(&folder);
        Ended::of(&mut build, "").expect_success();
        Self(folder)
    }

    /// Whether it lets a request of `/users` through.
    fn accepts(&self, example: &Example, token: &str, body: &str) -> bool {
        let mut check = Command::new(self.0.path().join("check"));
        check.args([&example.issuer, &example.base, token, body]);
        check.envs([("NO_PROXY", "127.0.0.1"), ("no_proxy", "127.0.0.1")]);
        let output = check.output().expect("the check runs");
        assert!(
            output.stderr.is_empty() && output.status.success() == output.stdout.is_empty(),
            "{output:?}"
        );
        output.status.success()
    }
}
