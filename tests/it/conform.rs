//! `wxmint conform` against the sidecar, and against services that let everybody in or never learn of a revocation.

use crate::support::prelude::*;
use crate::support::{Answering, Manner, free_port};

/// `wxmint conform` with these options, of a verifier at this URL.
fn conform(url: &str, options: &[&str]) -> Command {
    let folder = repository("target");
    let mut command = wxmint_in(
        &folder,
        &["conform", "--listen", "127.0.0.1:0", "--url", url],
    );
    command.args(options);
    command
}

/// The options by which it starts a sidecar on this port, with more variables.
fn sidecar(port: u16, more: &str) -> Vec<String> {
    let script = format!(
        "export WXMINT_ISSUER=$ISSUER WXMINT_AUDIENCE=$AUDIENCE WXMINT_JWKS_URL=$JWKS_URL \
         WXMINT_REVOCATIONS_FAIL=$FAIL WXMINT_REVOCATIONS_MAX_AGE=${{MAX_AGE}}s \
         WXMINT_SIDECAR_LISTEN=127.0.0.1:{port} WXMINT_ADMIN_LISTEN=127.0.0.1:{} {more}; exec {WXMINT} sidecar",
        free_port()
    );
    ["--", "/bin/sh", "-c", &script].map(str::to_owned).to_vec()
}

fn conform_sidecar(options: &[&str], more: &str) -> Ended {
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}/verify");
    Ended::of(conform(&url, options).args(sidecar(port, more)), "")
}

#[test]
fn the_sidecar_lets_in_good_tokens_alone_and_the_outcome_is_written_for_ci() {
    let folder = TempDir::new().expect("a folder");
    let junit = folder.path().join("junit.xml");
    let options = [
        "--level",
        "tokens",
        "--junit",
        junit.to_str().expect("UTF-8"),
    ];
    let told = conform_sidecar(&options, "").expect_success().stdout;
    assert!(
        told.lines().count() > 25 && told.lines().all(|line| line.starts_with("tokens   ok ")),
        "{told}"
    );
    let written = fs::read_to_string(junit).expect("a report");
    assert!(written.contains("failures=\"0\""), "{written}");
    assert_eq!(written.matches("<testcase ").count(), told.lines().count());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_lets_everybody_in_has_a_fault_for_each_bad_token() {
    let service = Answering::start();
    service.at("/orders", Manner::says("200 OK", "", String::new()));
    let url = service.url("/orders");
    let ended = tokio::task::spawn_blocking(move || {
        Ended::of(&mut conform(&url, &["--level", "tokens"]), "")
    });
    let ended = ended.await.expect("ended");
    let faults = ended.stdout.matches(" FAULT ").count();
    let right = ended.stdout.matches(" ok ").count();
    assert!(faults > 23 && right == 2, "{ended:?}");
    assert!(ended.stderr.contains("checks found a fault"), "{ended:?}");
}

#[test]
#[ignore = "slow; make nightly runs it"]
fn the_sidecar_conforms_at_each_level_open_and_closed() {
    for options in [&[][..], &["--closed", "--max-age", "15s"]] {
        let told = conform_sidecar(options, "WXMINT_REVOCATIONS_URL=$REVOCATIONS_URL");
        let told = told.expect_success().stdout;
        assert!(
            told.contains("robust   ok ") && !told.contains("FAULT"),
            "{told}"
        );
    }
}

#[test]
#[ignore = "slow; make nightly runs it"]
fn a_verifier_that_follows_no_feed_has_faults_where_it_should_obey() {
    let ended = conform_sidecar(&["--level", "follows"], "WXMINT_REVOCATIONS_URL=off");
    for name in [
        "one token",
        "a user up to a second",
        "a user in one app",
        "a key",
    ] {
        let fault = format!("follows  FAULT the revocation of {name}");
        assert!(ended.stdout.contains(&fault), "{ended:?}");
    }
}
