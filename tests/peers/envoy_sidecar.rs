//! examples/peers/envoy-sidecar: Envoy asks the sidecar.

use std::net::SocketAddr;

use crate::checks;
use crate::envoy::{
    self, asks_again_and_blames_no_token, leaves_nothing_to_interpretation,
    passes_on_who_it_is_and_no_token, port_value,
};
use crate::example::Started;
use crate::raw::Request;
use crate::scene::Scene;
use crate::support::Breakable;

#[tokio::test(flavor = "multi_thread")]
async fn envoy_with_the_sidecar_lets_good_tokens_through_and_nothing_else() {
    let scene = Scene::start().await;
    let sidecar = scene.sidecar().await;
    let link = Breakable::before(sidecar.public).await;
    let Started { example, .. } = &started(&scene, link.address()).await;
    checks::asks_a_sidecar(&scene, example, &link).await;
    passes_on_who_it_is_and_no_token(&scene, example, false).await;
    leaves_nothing_to_interpretation(&scene, example).await;
    asks_again_and_blames_no_token(&scene, example, &link).await;
}

/// Envoy's question goes to the back end here, which tells what it was asked. Its 200 names nobody.
#[tokio::test(flavor = "multi_thread")]
async fn the_sidecar_is_shown_the_token_and_not_the_other_headers_and_its_yes_must_name_a_user() {
    let scene = Scene::start().await;
    let link = Breakable::before(scene.back_end.address).await;
    let envoy = started(&scene, link.address()).await;
    let request = Request::get("/orders?page=2")
        .bearer("a.b.c")
        .lines(["Cookie: secret=1", "X-User-Id: forged"]);
    let reply = request
        .send(envoy.example.address)
        .await
        .expect("an answer");
    assert_eq!(reply.status, 403, "{reply:?}");

    let seen = scene.back_end.take();
    let [question] = &seen[..] else {
        panic!("one question: {seen:?}")
    };
    assert_eq!(
        (&*question.method, &*question.path),
        ("GET", "/verify/orders?page=2")
    );
    let names = question.headers.iter().map(|(name, _)| name.as_str());
    let mut names: Vec<_> = names.filter(|name| !name.starts_with("x-envoy-")).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["authorization", "content-length", "host"],
        "{question:?}"
    );
}

pub(crate) async fn started(scene: &Scene, sidecar: SocketAddr) -> Started {
    let (url, port) = (format!("http://{sidecar}"), port_value(sidecar));
    let addresses = [
        ("http://127.0.0.1:8181", &*url),
        ("port_value: 8181 }", &*port),
    ];
    envoy::start(scene, "envoy-sidecar", &addresses).await
}
