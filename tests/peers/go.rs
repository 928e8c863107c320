//! examples/peers/go: net/http and golang-jwt.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    checks,
    example::{Example, Started, copy_example},
    key_source::{KeySource, bad_keys_spoil_themselves_only},
    raw::Request,
    scene::Scene,
    support::{JwksServer, Manner, PATIENCE, Process, Step, answer, eventually, free_port, repository},
};

const JWKS: &str = "/.well-known/jwks.json";
const LIBRARIES: &str = "/usr/share/gocode";

/// For a test that would not wait for minutes.
pub(crate) const OFTEN: [(&str, &str); 2] = [
    ("refreshEvery = 5 * time.Minute", "refreshEvery = 99 * time.Millisecond"),
    ("retryAfter   = 10 * time.Second", "retryAfter   = 99 * time.Millisecond"),
];

/// Of the issuer at this address, with settings in place of those that the file has.
pub(crate) fn start(issuer: SocketAddr, settings: &[(&str, &str)]) -> Started {
    let port = free_port();
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("src/orders");
    fs::create_dir_all(&source).expect("a folder");
    let (issuer, address) = (issuer.to_string(), format!("127.0.0.1:{port}"));
    let addresses: [(&str, &str); 2] = [("127.0.0.1:8080", &issuer), ("127.0.0.1:8000", &address)];
    copy_example("go", &[settings, &addresses].concat(), &source);
    let mut orders = Command::new(build(folder.path(), &source));
    // A proxy of the machine's would be asked for the keys.
    orders.envs([("NO_PROXY", "127.0.0.1"), ("no_proxy", "127.0.0.1")]);
    Started { example: Example::new("go", port), process: Process::spawn("orders", &mut orders), folder }
}

/// Without modules, since there is no module proxy: the example's go.mod makes Go read `…/jwt/v4` as Debian's `…/jwt`.
fn build(workspace: &Path, source: &Path) -> PathBuf {
    let program = workspace.join("orders");
    let mut build = Command::new("go");
    build.current_dir(source).args(["build", "-o"]).arg(&program);
    build.env("GO111MODULE", "off").env("GOCACHE", repository("target/tools/go-cache"));
    build.env("GOPATH", format!("{}:{LIBRARIES}", workspace.display()));
    let built = build.output().unwrap_or_else(|error| panic!("go: {error}; run: make setup"));
    assert!(built.status.success(), "{}\nrun: make setup", String::from_utf8_lossy(&built.stderr));
    program
}

#[tokio::test(flavor = "multi_thread")]
async fn net_http_with_golang_jwt_takes_our_tokens_alone() {
    let scene = Scene::start().await;
    let Started { example, .. } = &start(scene.address(), &[]);
    checks::verifies_by_itself(&scene, example, &[], checks::LOOKS_AT_THE_FEED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn net_http_started_before_the_issuer_says_503_until_it_has_keys() {
    let scene = Scene::without_issuer().await;
    let Started { example, .. } = &start(scene.address(), &OFTEN);
    checks::starts_before_the_issuer(&scene, example).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn net_http_learns_of_a_new_key_and_of_a_removed_one_when_it_looks() {
    let scene = Scene::start().await;
    let Started { example, .. } = &start(scene.address(), &OFTEN);
    eventually("it has keys", PATIENCE, async || scene.is_let_in(example).await).await;
    checks::learns_of_keys(&scene, example, Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_key_spoils_nothing_but_itself_for_net_http() {
    let scene = Scene::start().await;
    let source = KeySource::with_bad_keys(&scene).await;
    let url = format!("{:?}", source.url());
    let Started { example, .. } = &start(scene.address(), &[("issuer + \"/.well-known/jwks.json\"", &url)]);
    bad_keys_spoil_themselves_only(&scene, example).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn golang_jwt_takes_each_algorithm_of_our_keys() {
    for algorithm in ["EdDSA", "RS256"] {
        let scene = Scene::signing_by(algorithm).await;
        let orders = start(scene.address(), &[]);
        eventually(algorithm, PATIENCE, async || scene.is_let_in(&orders.example).await).await;
    }
}

/// Returns when the peer has asked since, and has dealt with that answer: it asks again only then.
async fn answers(server: &JwksServer, manner: Manner) {
    server.at(JWKS, manner);
    let before = server.fetches(JWKS).len();
    eventually("it asks for keys", PATIENCE, async || (server.fetches(JWKS).len() >= before + 3).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_go_peer_goes_on_with_the_keys_it_has_whatever_it_is_answered() {
    let scene = Scene::start().await;
    let server = JwksServer::start().await;
    let url = format!("keySet{{url: \"{}\" +", server.url(""));
    let settings: [(&str, &str); 1] = [("keySet{url: issuer +", &url)];
    let Started { example, .. } = &start(scene.address(), &[&settings[..], &OFTEN].concat());
    let status = async || {
        let reply = Request::get("/orders").bearer(&scene.lin.token).send(example.address).await;
        reply.ok().map(|reply| reply.status)
    };
    let ok = |body: &str| Manner::says("200 OK", "", body);
    answers(&server, Manner::says("503 Service Unavailable", "", "")).await;
    let waits = async || (status().await? == 503).then_some(());
    eventually("it runs, without keys", PATIENCE, waits).await;
    let keys = scene.bed.http.get(&scene.jwks_url()).await.body;
    answers(&server, ok(&keys)).await;
    eventually("it takes a token, with keys", PATIENCE, async || (status().await? == 200).then_some(())).await;

    // Whoever takes one of these takes a key that is not the issuer's.
    let another = scene.canary.key.jwk.to_string();
    let forged = format!("{{\"keys\":[{another}]}}");
    let redirect = format!("Location: {}\r\n", scene.canary.jwks_url());
    let padded = format!("{{\"keys\":[{another}{}]}}", ",1".repeat(5 << 20));
    let mut half = answer("200 OK", "", keys.as_bytes());
    half.truncate(half.len() - keys.len() / 2);
    let bytes = |bytes: &[u8]| Manner::Does(vec![Step::Send(bytes.to_vec())]);
    let bad_keys =
        r#"{"keys":[{"kty":"EC","crv":"P-256","alg":"ES256","use":"sig","kid":"a","x":"AQ","y":"AQ"},1,null]}"#;
    for (what, manner) in [
        ("500", Manner::says("500 Internal Server Error", "", &forged)),
        ("a redirect", Manner::says("302 Found", &redirect, "")),
        ("nothing", bytes(b"")),
        ("garbage", bytes(b"+OK\r\n")),
        ("an empty body", ok("")),
        ("HTML", ok("<html><title>welcome</title></html>")),
        ("an empty set", ok(r#"{"keys":[]}"#)),
        ("half of a set", bytes(&half)),
        ("a set of bad keys", ok(bad_keys)),
        ("10 MiB", ok(&padded)),
    ] {
        answers(&server, manner).await;
        assert_eq!(status().await, Some(200), "{what}");
    }
    answers(&server, ok(&forged)).await;
    assert_eq!(status().await, Some(401), "its key is gone");
    assert_eq!(scene.canary.seen(), Vec::<String>::new(), "a redirect was followed");
}
