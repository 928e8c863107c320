//! The checks themselves: they find nothing wrong with a proxy that does right, and find each wrong.

use std::time::Duration;

use crate::checks::{
    self, fails_closed_faults, identity_header_faults, issuer_faults, path_faults, token_faults,
    unknown_key_faults,
};
use crate::example::Example;
use crate::scene::Scene;
use crate::stand_in::{Flaw, Proxy};
use crate::support::{Breakable, Sidecar};

/// A proxy with a flaw, its sidecar, and the link between them.
struct Stage {
    scene: Scene,
    example: Example,
    link: Breakable,
    _sidecar: Sidecar,
    _proxy: Proxy,
}

impl Stage {
    async fn with(flaw: Flaw) -> Self {
        let scene = Scene::start().await;
        let sidecar = scene.sidecar().await;
        let link = Breakable::before(sidecar.public).await;
        let proxy = Proxy::start(&scene, ([127, 0, 0, 1], link.port()).into(), flaw).await;
        let example = Example::new("stand-in", proxy.address.port());
        Self {
            scene,
            example,
            link,
            _sidecar: sidecar,
            _proxy: proxy,
        }
    }

    async fn token_faults(&self) -> Vec<String> {
        token_faults(&self.scene, &self.example, &[]).await
    }
}

fn names(faults: &[String], name: &str) -> bool {
    faults.iter().any(|fault| fault.starts_with(name))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_does_right_has_no_faults() {
    let stage = Stage::with(Flaw::None).await;
    checks::tokens(&stage.scene, &stage.example, &[]).await;
    checks::identity_headers(&stage.scene, &stage.example).await;
    checks::paths(&stage.scene, &stage.example).await;
    checks::fails_closed(&stage.scene, &stage.example, &stage.link).await;
    // The sidecar asks for a key that it does not know at most once in 10 s.
    checks::unknown_keys(&stage.scene, &stage.example, 1).await;
    checks::issuer_away(&stage.scene, &stage.example).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bad_token_that_is_let_through_is_told() {
    let stage = Stage::with(Flaw::AsksNobody).await;
    let faults = stage.token_faults().await;
    for bad in stage.scene.bad_tokens() {
        assert!(
            names(&faults, &format!("{}: reaches the back end", bad.name)),
            "{}: {faults:#?}",
            bad.name
        );
    }
    assert!(names(&faults, "a real token: not for"), "{faults:#?}");
    let stage = Stage::with(Flaw::TakesOneOfTwo).await;
    let faults = stage.token_faults().await;
    assert!(
        faults.len() == 1 && names(&faults, "two tokens: reaches the back end"),
        "{faults:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exception_that_is_none_or_is_not_documented_is_told() {
    let stage = Stage::with(Flaw::None).await;
    let faults = token_faults(
        &stage.scene,
        &stage.example,
        &[("crit", "crit is not looked at")],
    )
    .await;
    assert!(
        names(&faults, "crit: documented as accepted, but is refused: 401"),
        "{faults:#?}"
    );
    assert!(
        names(&faults, "crit is an exception, and README.md does not say"),
        "{faults:#?}"
    );
    assert_eq!(faults.len(), 2, "{faults:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_refuses_everybody_is_told() {
    let stage = Stage::with(Flaw::RefusesAll).await;
    assert!(names(&stage.token_faults().await, "a real token: 401"));
    assert!(
        !identity_header_faults(&stage.scene, &stage.example)
            .await
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_of_what_a_token_points_to_is_told() {
    let stage = Stage::with(Flaw::FollowsHeaders).await;
    let faults = stage.token_faults().await;
    assert!(
        names(&faults, "the canary was asked: /jwks.json"),
        "{faults:#?}"
    );
    assert!(
        names(&faults, "the canary was asked: /certificate.pem"),
        "{faults:#?}"
    );
    assert_eq!(faults.len(), 2, "{faults:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_identity_headers_are_told() {
    let stage = Stage::with(Flaw::StripsOneSpelling).await;
    let faults = identity_header_faults(&stage.scene, &stage.example).await;
    for spelling in ["X_User_Id", "x_client_id", "X.Token.Id", "X-User_Id"] {
        for token in ["with a token", "without a token", "with a bad token"] {
            assert!(
                names(&faults, &format!("[\"{spelling}: forged\"] {token}")),
                "{spelling} {token}: {faults:#?}"
            );
        }
    }
    assert!(!names(&faults, "[\"X-User-Id: forged\"]"), "{faults:#?}");

    let stage = Stage::with(Flaw::StripsWhereProtected).await;
    let faults = identity_header_faults(&stage.scene, &stage.example).await;
    assert!(
        names(&faults, "[\"X-User-Id: forged\"] without a token"),
        "{faults:#?}"
    );
    assert!(
        !names(&faults, "[\"X-User-Id: forged\"] with a token"),
        "{faults:#?}"
    );

    let stage = Stage::with(Flaw::ObeysConnection).await;
    let faults = identity_header_faults(&stage.scene, &stage.example).await;
    assert!(
        names(&faults, "[\"Connection: X-User-Id\"] with a token"),
        "{faults:#?}"
    );

    let stage = Stage::with(Flaw::StripsNoUpgrade).await;
    let faults = identity_header_faults(&stage.scene, &stage.example).await;
    assert!(
        faults.len() == 9
            && faults
                .iter()
                .all(|fault| fault.contains("Upgrade: websocket")),
        "{faults:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_that_lead_a_stranger_to_what_is_protected_are_told() {
    let stage = Stage::with(Flaw::ComparesPathsAsSent).await;
    let faults = path_faults(&stage.scene, &stage.example).await;
    for target in [
        "/public/../orders",
        "/public/..%2forders",
        "/public/..;/orders",
        r"/public/..\orders",
    ] {
        assert!(
            names(
                &faults,
                &format!("{target} without a token: the back end sees")
            ),
            "{target}: {faults:#?}"
        );
    }
    assert!(!names(&faults, "/orders"), "{faults:#?}");
    assert!(
        faults.iter().any(|fault| fault.contains("\"http_server\"")),
        "{faults:#?}"
    );
    let stage = Stage::with(Flaw::IgnoresCase).await;
    let faults = path_faults(&stage.scene, &stage.example).await;
    assert!(
        faults.len() == 1 && names(&faults, "/PUBLIC/hello without a token"),
        "{faults:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_fails_open_or_waits_is_told() {
    let stage = Stage::with(Flaw::FailsOpen).await;
    let faults = fails_closed_faults(&stage.scene, &stage.example, &stage.link).await;
    for state in [
        "dead",
        "silent",
        "500",
        "garbage",
        "half an answer",
        "nothing",
    ] {
        assert!(
            names(&faults, &format!("sidecar, {state}: 200")),
            "{state}: {faults:#?}"
        );
    }
    let mut stage = Stage::with(Flaw::Waits).await;
    stage.example.longest = Duration::from_secs(5);
    let faults = fails_closed_faults(&stage.scene, &stage.example, &stage.link).await;
    assert!(
        faults.len() == 1 && names(&faults, "sidecar, silent: no answer within 5s"),
        "{faults:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_asks_the_issuer_for_each_token_is_told() {
    let stage = Stage::with(Flaw::AsksTheIssuer).await;
    assert_eq!(
        unknown_key_faults(&stage.scene, &stage.example, 39).await,
        ["40 fetches for 40 unknown kids"]
    );
    let faults = issuer_faults(&stage.scene, &stage.example).await;
    for state in [
        "gone, a token that it knows",
        "gone, a new token",
        "silent, a new token",
    ] {
        assert!(
            names(&faults, &format!("issuer, {state}: 503")),
            "{state}: {faults:#?}"
        );
    }
}
