//! Foreign clients, unchanged, each as its own pages say to use it. A client prints the address that it sends a browser
//! to, reads the one that the browser comes back to, and prints the `sub` of which it was told.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use super::*;

/// Where the client has found out that it is lied to.
const WRONG: &str = "refused: ";

async fn runs(mut client: Command) {
    let bed = builder().at_its_issuer().start().await;
    let issuer = bed.issuer();
    let phone = bed.log_in("lin").await.expect_login();
    let mut client = client
        .args([issuer, "grafana", SECRET, BACK, LEFT])
        .envs([
            ("NO_PROXY", "127.0.0.1"),
            ("no_proxy", "127.0.0.1"),
            ("OAUTHLIB_INSECURE_TRANSPORT", "1"),
        ])
        .envs([
            ("AUTHLIB_INSECURE_TRANSPORT", "1"),
            ("PYTHONDONTWRITEBYTECODE", "1"),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let (mut input, mut lines) = (
        client.stdin.take().expect("piped"),
        BufReader::new(client.stdout.take().expect("piped")).lines(),
    );
    let mut next = || lines.next().expect("a line").expect("text");
    // The second time, somebody has put another issuer's name into the answer (RFC 9207).
    for mix_up in [false, true] {
        let to: Url = next().parse().expect("a URL");
        let page = bed.http.get(to.as_str()).await;
        assert_eq!((page.status, to.path()), (200, "/authorize"), "{page:?}");
        let back = bed.let_in_site(to.query().expect("a query"), "lin").await;
        let iss = query(&[("iss", issuer)]);
        assert!(back.contains(&iss), "{back}");
        let back = if mix_up {
            back.replace(&iss, "iss=https%3A%2F%2Fevil.example")
        } else {
            back
        };
        writeln!(input, "{back}").expect("it reads");
        let told = next();
        match mix_up {
            false => assert_eq!(told, phone.claims()["sub"].as_str().expect("a user")),
            true => assert!(told.starts_with(WRONG), "{told}"),
        }
    }
    assert!(client.wait().expect("it ends").success());
}

fn node(file: &str) -> Command {
    let mut node = Command::new("node");
    // Node looks for packages above the script's own folder.
    let script = tools("node").join(file);
    fs::copy(repository("tests/it/oidc").join(file), &script).expect("copied");
    node.arg(script);
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn openid_client_and_oauth4webapi_log_in() {
    runs(node("openid-client.mjs")).await;
    runs(node("oauth4webapi.mjs")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn authlib_logs_in() {
    let mut python = Command::new(tools("python/bin/python"));
    python.arg(repository("tests/it/oidc/authlib_client.py"));
    runs(python).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn go_oidc_logs_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("oidc");
    let mut build = Command::new(go());
    build
        .current_dir(repository("tests/it/oidc/go"))
        .args(["build", "-o"])
        .arg(&program);
    let built = build.output().expect("go runs");
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    runs(Command::new(program)).await;
}
