//! examples/peers/envoy-jwt: Envoy's `jwt_authn`, alone.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::NamedTempFile;
use tokio::time::interval;

use crate::checks;
use crate::envoy::{
    self, leaves_nothing_to_interpretation, passes_on_who_it_is_and_no_token, port_value,
};
use crate::example::{Example, Started};
use crate::raw::Request;
use crate::scene::Scene;
use crate::support::{PATIENCE, Terminator, decoded, eventually};

const NAME: &str = "envoy-jwt";
const JWKS_PORT: &str = "port_value: 8080 }";
/// In place of every 55 s, for a test that counts what else makes it look.
const LOOKS_ONCE: (&str, &str) = ("cache_duration: 60s", "cache_duration: 3600s");
/// In place of every 55 s: of this time, too, Envoy takes 5 s off.
const LOOKS_EVERY_SECOND: (&str, &str) = ("cache_duration: 60s", "cache_duration: 6s");
const FAR: [(&str, &str); 1] = [(
    "exp in ten years",
    "signed with an `exp` far beyond `WXMINT_TOKEN_TTL`",
)];
const ANOTHER_NAME: &str = "san_type: IP_ADDRESS, matcher: { exact: 127.0.0.2 }";

#[tokio::test(flavor = "multi_thread")]
async fn envoy_alone_lets_good_tokens_through_and_nothing_else_and_says_503_until_it_has_keys() {
    let scene = Scene::without_issuer().await;
    let envoy = started(&scene, scene.address(), &[LOOKS_ONCE]).await;
    let example = &envoy.example;
    checks::says_503_without_keys(&scene, example).await;
    scene.link.restore().await;
    // A token sent before would make Envoy's worker fetch keys for itself. The main thread would fetch them all the
    // same when its second is over, perhaps while unknown keys are asked for.
    envoy::has_fetched_keys(&envoy).await;
    eventually("Envoy has keys", PATIENCE, async || {
        scene.is_let_in(example).await
    })
    .await;
    checks::tokens(&scene, example, &FAR).await;
    checks::identity_headers(&scene, example).await;
    checks::paths(&scene, example).await;
    checks::unknown_keys(&scene, example, 0).await;
    checks::issuer_away(&scene, example).await;
    refuses_what_jwt_authn_alone_would_take(&scene, example).await;
    passes_on_who_it_is_and_no_token(&scene, example, false).await;
    leaves_nothing_to_interpretation(&scene, example).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_alone_goes_on_with_its_keys_beyond_their_time_while_the_issuer_is_away() {
    let scene = Scene::start().await;
    let Started { example, .. } = &started(&scene, scene.address(), &[LOOKS_EVERY_SECOND]).await;
    eventually("Envoy has keys", PATIENCE, async || {
        scene.is_let_in(example).await
    })
    .await;
    scene.link.cut().await;
    let (mut poll, cut) = (interval(Duration::from_millis(200)), Instant::now());
    while cut.elapsed() < Duration::from_secs(8) {
        poll.tick().await;
        assert!(
            scene.is_let_in(example).await.is_some(),
            "refused {:?} after the cut",
            cut.elapsed()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_alone_learns_of_a_new_key_and_of_a_removed_one_when_it_looks() {
    let scene = Scene::start().await;
    let Started { example, .. } = &started(&scene, scene.address(), &[LOOKS_EVERY_SECOND]).await;
    eventually("Envoy has keys", PATIENCE, async || {
        scene.is_let_in(example).await
    })
    .await;
    checks::learns_of_keys(&scene, example, Duration::from_secs(1)).await;
}

/// With the lines that are comments in the file, for an issuer behind TLS.
#[tokio::test(flavor = "multi_thread")]
async fn envoy_alone_fetches_keys_by_https_from_who_can_prove_its_name() {
    let scene = Scene::start().await;
    let (issuer, stranger) = (
        Terminator::before(scene.address()).await,
        Terminator::before(scene.address()).await,
    );
    let trusted = NamedTempFile::new().expect("a file");
    fs::write(&trusted, &issuer.certificate).expect("written");
    let authorities = format!("filename: {}", trusted.path().display());
    let with_tls = [
        (
            "      # transport_socket:\n      #   name:",
            "      transport_socket:\n        name:",
        ),
        (
            "      #   typed_config:\n      #     ",
            "        typed_config:\n          ",
        ),
        ("      #     ", "          "),
        ("sni: login.example.com", "sni: localhost"),
        ("filename: /etc/ssl/certs/ca-certificates.crt", &authorities),
        (
            "san_type: DNS, matcher: { exact: login.example.com }",
            "san_type: IP_ADDRESS, matcher: { exact: 127.0.0.1 }",
        ),
    ];
    let envoy = started(&scene, issuer.address, &with_tls).await;
    eventually("Envoy has keys", PATIENCE, async || {
        scene.is_let_in(&envoy.example).await
    })
    .await;
    let deceived = started(&scene, stranger.address, &with_tls).await;
    assert_eq!(
        deceived.example.status(&scene.lin.token).await,
        Some(503),
        "keys of a stranger"
    );

    // The right authority, and another name.
    let another_name = with_tls.map(|(old, new)| {
        (
            old,
            if new.contains("127.0.0.1") {
                ANOTHER_NAME
            } else {
                new
            },
        )
    });
    let deceived = started(&scene, issuer.address, &another_name).await;
    assert_eq!(
        deceived.example.status(&scene.lin.token).await,
        Some(503),
        "keys by another name"
    );
}

pub(crate) async fn started(scene: &Scene, jwks: SocketAddr, changes: &[(&str, &str)]) -> Started {
    let jwks = port_value(jwks);
    let addresses = [
        &[
            ("http://127.0.0.1:8080", &*scene.issuer),
            (JWKS_PORT, &*jwks),
        ][..],
        changes,
    ]
    .concat();
    envoy::start(scene, NAME, &addresses).await
}

/// README.md's table, where `checks::tokens` has no case: by the issuer's own key, each with one thing that is wrong.
async fn refuses_what_jwt_authn_alone_would_take(scene: &Scene, example: &Example) {
    let forge = scene.forge();
    let claims = |members| forge.by_issuer(&forge.header, &forge.claims_with(members));
    let header = |members| forge.by_issuer(&forge.header_with(members), &forge.claims);
    assert_eq!(
        example.status(&claims(json!({}))).await,
        Some(200),
        "forged, and like a real one"
    );
    scene.back_end.take();
    let spoiled = [
        claims(json!({"sub": null})),
        claims(json!({"client_id": null})),
        claims(json!({"jti": null})),
        claims(json!({"iat": null})),
        claims(json!({"aud": null})),
        header(json!({"typ": null})),
        header(json!({"typ": "statuslist+jwt"})),
        header(json!({"kid": null})),
        header(json!({"crit": []})),
        header(json!({"crit": "exp"})),
        header(json!({"jwk": forge.issuer.jwk})),
        header(json!({"b64": true})),
    ];
    for token in spoiled {
        let told = decoded(&token);
        assert_eq!(example.status(&token).await, Some(403), "{told:?}");
        assert!(scene.back_end.take().is_empty(), "{told:?}");
    }
    let in_the_query = Request::get(&format!("/orders?access_token={}", scene.lin.token));
    assert_eq!(
        in_the_query
            .send(example.address)
            .await
            .map(|reply| reply.status),
        Ok(401),
        "?access_token="
    );
}
