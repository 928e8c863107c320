//! The tokens as others see them: the verifiers that the README shows, each in a foreign library, with the keys that
//! it fetches from the JWKS.

use std::process::Output;

use crate::sidecar::forge::{ForgeKey, merged};
use crate::support::prelude::*;

/// A foreign verifier: the command that takes issuer and token, perhaps after a script, prints the subject, and fails
/// with the reason.
struct Verifier {
    program: PathBuf,
    script: Option<PathBuf>,
    _folder: Option<TempDir>,
}

impl Verifier {
    fn python() -> Self {
        let script = repository("tests/verifiers/verify.py");
        Self {
            program: tools("python/bin/python"),
            script: Some(script),
            _folder: None,
        }
    }

    fn node() -> Self {
        let folder = node_folder();
        // Node looks for packages above the script's own folder.
        let script = folder.path().join("verify.mjs");
        fs::copy(repository("tests/verifiers/verify.mjs"), &script).expect("our own script");
        Self {
            program: "node".into(),
            script: Some(script),
            _folder: Some(folder),
        }
    }

    /// A program of the module tests/verifiers.
    fn go(package: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("verify");
        for build in ["vet", "build -o"] {
            let mut build_command = Command::new(go());
            build_command
                .args(build.split(' '))
                .args((build != "vet").then_some(&program))
                .arg(package);
            let built = build_command
                .current_dir(repository("tests/verifiers"))
                .output();
            let built = built.unwrap_or_else(|error| panic!("go: {error}; run: make setup"));
            assert!(
                built.status.success(),
                "{}",
                String::from_utf8_lossy(&built.stderr)
            );
        }
        Self {
            program,
            script: None,
            _folder: Some(folder),
        }
    }

    fn run(&self, issuer: &str, token: &str) -> Output {
        let mut command = Command::new(&self.program);
        // A proxy of the machine's would be asked for the keys.
        command
            .args(&self.script)
            .args([issuer, token])
            .env("NO_PROXY", "127.0.0.1")
            .env("no_proxy", "127.0.0.1");
        command
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}; run: make setup", self.program.display()))
    }

    #[track_caller]
    fn accepts(&self, issuer: &str, token: &str, subject: &str) {
        let output = self.run(issuer, token);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            format!("{subject}\n")
        );
    }

    #[track_caller]
    fn refuses(&self, issuer: &str, (what, token): &(&str, String)) {
        let output = self.run(issuer, token);
        let reason = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{what}: {output:?}");
        assert!(
            reason.contains("refused:") && output.stdout.is_empty(),
            "{what}: {output:?}"
        );
    }
}

/// Tokens that must be refused, each for one thing: where the service's own key is one of P-256, also what it would not
/// sign, and a sound one beside that, so that they are refused for this thing alone.
fn spoiled(
    token: &str,
    configuration: &Configuration,
) -> (Option<String>, Vec<(&'static str, String)>) {
    let mut spoiled = vec![("one byte of the claims", with_another_byte(token))];
    let (header, claims) = decoded(token);
    if header["alg"] != "ES256" {
        return (None, spoiled);
    }
    let keys = fs::read(configuration.value("WXMINT_KEYS")).expect("the key file");
    let key = ForgeKey::of_file(&serde_json::from_slice(&keys).expect("JSON"));
    let iat = claims["iat"].as_i64().expect("a time");
    let signed = |of_header, of_claims| {
        key.token(
            &merged(&header, of_header).to_string(),
            &merged(&claims, of_claims).to_string(),
        )
    };
    spoiled.extend([
        (
            "a wrong iss",
            signed(json!({}), json!({"iss": "https://another.example"})),
        ),
        (
            "a wrong aud",
            signed(json!({}), json!({"aud": "https://another.example"})),
        ),
        (
            "a wrong exp",
            signed(json!({}), json!({"iat": iat - 90_000, "exp": iat - 3_600})),
        ),
        ("a wrong typ", signed(json!({"typ": "JWT"}), json!({}))),
        ("no kid", signed(json!({"kid": null}), json!({}))),
    ]);
    (Some(signed(json!({}), json!({}))), spoiled)
}

/// Changes a character in the middle of the token, which is of its claims, and where every bit of it counts.
fn with_another_byte(token: &str) -> String {
    let middle = token.len() / 2;
    let other = if token.as_bytes()[middle] == b'A' {
        "B"
    } else {
        "A"
    };
    format!("{}{other}{}", &token[..middle], &token[middle + 1..])
}

/// A login by each algorithm of ours, its token accepted, and each spoiled form of it refused. The services of
/// examples/peers have the tokens of tests/peers/forge.rs put to them.
#[tokio::test(flavor = "multi_thread")]
async fn pyjwt_jose_and_four_libraries_of_go_verify_each_algorithm_and_refuse_what_is_spoiled() {
    let verifiers = [
        Verifier::python(),
        Verifier::node(),
        Verifier::go("verify.go"),
        Verifier::go("./others"),
    ];
    for algorithm in ["ES256", "EdDSA", "RS256"] {
        let bed = TestBed::builder()
            .algorithm(algorithm)
            .at_its_issuer()
            .start()
            .await;
        let issuer = bed.issuer();
        let login = bed.log_in("lin").await.expect_login();
        let (token, user) = (login.member("access_token"), login.member("user_id"));
        let (sound, spoiled) = spoiled(&token, &bed.configuration);
        for verifier in &verifiers {
            verifier.accepts(issuer, &token, &user);
            if let Some(sound) = &sound {
                verifier.accepts(issuer, sound, &user);
            }
            for spoiled in &spoiled {
                verifier.refuses(issuer, spoiled);
            }
        }
    }
}
