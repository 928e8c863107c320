//! The tokens as others see them: the verifiers that the README shows, each in a foreign library, with the keys that
//! it fetches from the JWKS.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta};
use serde_json::Value;
use tempfile::TempDir;
use wxmint::{
    keys::{KeyRing, KeySet},
    token::{Minter, new_token_id},
};
use wxmint_verify::TokenTyp;

use crate::support::{APPID, Configuration, TestBed, decoded, free_port, repository, tools};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A foreign verifier: the command that takes issuer and token, prints the subject, and fails with the reason.
struct Verifier {
    program: PathBuf,
    script: Option<PathBuf>,
    _folder: TempDir,
}

impl Verifier {
    fn python() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let script = copied("verify.py", folder.path());
        Self { program: tools("python/bin/python"), script: Some(script), _folder: folder }
    }

    /// Node looks for packages above the script's own folder.
    fn node() -> Self {
        let folder = TempDir::new_in(tools("node")).expect("a folder");
        let script = copied("verify.mjs", folder.path());
        Self { program: "node".into(), script: Some(script), _folder: folder }
    }

    /// Debian's packages of Go libraries are for builds without modules.
    fn go() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (source, program) = (copied("verify.go", folder.path()), folder.path().join("verify"));
        let mut build = Command::new("go");
        build.arg("build").arg("-o").arg(&program).arg(source);
        build
            .env("GO111MODULE", "off")
            .env("GOPATH", "/usr/share/gocode")
            .env("GOCACHE", repository("target/tools/go-cache"));
        let built = build.output().unwrap_or_else(|error| panic!("go: {error}; run: make setup"));
        assert!(built.status.success(), "{}\nrun: make setup", String::from_utf8_lossy(&built.stderr));
        Self { program, script: None, _folder: folder }
    }

    fn run(&self, issuer: &str, token: &str) -> Output {
        let mut command = Command::new(&self.program);
        // A proxy of the machine's would be asked for the keys.
        command.args(&self.script).args([issuer, token]).env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
        command.output().unwrap_or_else(|error| panic!("{}: {error}; run: make setup", self.program.display()))
    }

    #[track_caller]
    fn accepts(&self, issuer: &str, token: &str, subject: &str) {
        let output = self.run(issuer, token);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{subject}\n"));
    }

    #[track_caller]
    fn refuses(&self, issuer: &str, (what, token): &(String, String)) {
        let output = self.run(issuer, token);
        let reason = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{what}: {output:?}");
        assert!(reason.contains("refused:") && output.stdout.is_empty(), "{what}: {output:?}");
    }
}

fn copied(name: &str, folder: &Path) -> PathBuf {
    let copy = folder.join(name);
    fs::copy(repository("tests/verifiers").join(name), &copy).expect("our own script");
    copy
}

/// Tokens that must be refused, each for one thing.
fn spoiled(token: &str, issuer: &str, configuration: &Configuration) -> Vec<(String, String)> {
    let mut tokens: Vec<_> = ["header", "claims", "signature"]
        .into_iter()
        .enumerate()
        .map(|(part, name)| (format!("one byte of the {name}"), with_another_byte(token, part)))
        .collect();
    let other = "https://another.example";
    for (what, iss, aud, typ, age) in [
        ("iss", other, issuer, TokenTyp::AccessToken, 0),
        ("aud", issuer, other, TokenTyp::AccessToken, 0),
        ("typ", issuer, issuer, TokenTyp::Jwt, 0),
        ("exp", issuer, issuer, TokenTyp::AccessToken, 25),
    ] {
        tokens.push((format!("a wrong {what}"), signed(configuration, iss, aud, typ, TimeDelta::hours(age))));
    }
    if decoded(token).0["alg"] == "ES256" {
        tokens.push(("no kid".to_owned(), without_kid(token, configuration)));
    }
    tokens
}

/// The token with another header, signed by the same P-256 key.
fn without_kid(token: &str, configuration: &Configuration) -> String {
    let file = fs::read(configuration.value("WXMINT_KEYS")).expect("the key file");
    let keys: Value = serde_json::from_slice(&file).expect("JSON");
    let member = |name: &str| {
        URL_SAFE_NO_PAD.decode(keys["keys"][0][name].as_str().expect("a member of a P-256 key")).expect("base64url")
    };
    let point = [vec![4], member("x"), member("y")].concat();
    let key = EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, &member("d"), &point);
    let mut header = decoded(token).0;
    header.as_object_mut().expect("members").remove("kid").expect("a kid");
    let claims = token.split('.').nth(1).expect("claims");
    let signed = format!("{}.{claims}", URL_SAFE_NO_PAD.encode(header.to_string()));
    let signature = key.expect("a P-256 key").sign(&SystemRandom::new(), signed.as_bytes()).expect("a signature");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Changes a character in the middle of a part, where every bit of it counts.
fn with_another_byte(token: &str, part: usize) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let middle = parts[part].len() / 2;
    let other = if parts[part].as_bytes()[middle] == b'A' { "B" } else { "A" };
    parts[part].replace_range(middle..=middle, other);
    parts.join(".")
}

/// A token by the service's own key, which it would not issue: so that it is refused for its claims alone.
fn signed(configuration: &Configuration, issuer: &str, audience: &str, typ: TokenTyp, age: TimeDelta) -> String {
    let file = fs::read(configuration.value("WXMINT_KEYS")).expect("the key file");
    let mut keys: Value = serde_json::from_slice(&file).expect("JSON");
    keys["keys"][0]["nbf"] = 0.into();
    let keys = KeySet::parse(keys.to_string().as_bytes()).expect("keys");
    let (user, app) = ("lin".parse().expect("a user"), APPID.parse().expect("an app"));
    let now = DateTime::from(std::time::UNIX_EPOCH + since_1970());
    let keys = Arc::new(KeyRing::new(keys, TimeDelta::minutes(30), now).expect("keys that sign"));
    let minter = Minter::new(issuer.to_owned(), vec![audience.to_owned()], typ, DAY, keys);
    minter
        .mint(&user, &app, &new_token_id().expect("bits"), &Default::default(), now - age, now - age)
        .expect("a token")
        .expose()
        .to_owned()
}

#[expect(clippy::disallowed_methods, reason = "foreign verifiers go by the system's clock")]
fn since_1970() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970")
}

/// A login, its token accepted, and each spoiled form of it refused.
async fn verifies(verifier: &Verifier, algorithm: &'static str) {
    let address = format!("127.0.0.1:{}", free_port());
    let issuer = format!("http://{address}");
    let bed = TestBed::builder().algorithm(algorithm).env("WXMINT_ISSUER", &issuer).env("WXMINT_LISTEN", &address);
    let bed = bed.start().await;
    let login = bed.log_in("lin").await.expect_login();
    let (token, user) = (login.member("access_token"), login.member("user_id"));

    verifier.accepts(&issuer, &token, &user);
    // The means of spoiling spoil nothing by themselves.
    let sound = signed(&bed.configuration, &issuer, &issuer, TokenTyp::AccessToken, TimeDelta::zero());
    verifier.accepts(&issuer, &sound, "lin");
    for spoiled in spoiled(&token, &issuer, &bed.configuration) {
        verifier.refuses(&issuer, &spoiled);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pyjwt_verifies_each_algorithm_and_refuses_what_is_spoiled() {
    let verifier = Verifier::python();
    for algorithm in ["ES256", "EdDSA", "RS256"] {
        verifies(&verifier, algorithm).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jose_verifies_each_algorithm_and_refuses_what_is_spoiled() {
    let verifier = Verifier::node();
    for algorithm in ["ES256", "EdDSA", "RS256"] {
        verifies(&verifier, algorithm).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn go_oidc_verifies_each_algorithm_and_refuses_what_is_spoiled() {
    let verifier = Verifier::go();
    for algorithm in ["ES256", "EdDSA", "RS256"] {
        verifies(&verifier, algorithm).await;
    }
}
