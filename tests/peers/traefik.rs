//! examples/peers/traefik: ForwardAuth.

use crate::checks;
use crate::forward_auth::{Stage, TRAEFIK};
use crate::raw::Request;
use crate::scene::Scene;

#[tokio::test]
async fn below_public_strangers_are_nobody_and_bad_tokens_are_refused_all_the_same() {
    let Stage { scene, proxy: traefik, .. } = &Stage::with(&TRAEFIK).await;
    // An empty token is none.
    for bad in scene.bad_tokens().into_iter().filter(|bad| !["no token", "empty token"].contains(&bad.name)) {
        scene.back_end.take();
        let request = Request::get("/public/hello").lines(bad.credentials.0.iter().map(String::as_str));
        let status = request.send(traefik.example.address).await.map(|reply| reply.status);
        let refused = status.as_ref().is_ok_and(|status| (400..500).contains(status)) || bad.name == "long token";
        assert!(refused && scene.back_end.take().is_empty(), "{}: {status:?}", bad.name);
    }
    // A client that says who it is is known there, too.
    let request = Request::get("/public/hello").bearer(&scene.lin.token);
    assert_eq!(request.send(traefik.example.address).await.expect("an answer").status, 200);
    let seen = scene.back_end.take();
    assert!(seen[0].headers.contains(&("X-User-Id".to_owned(), scene.lin.user_id.clone())), "{seen:?}");
}

/// Express behind it serves /public/orders.json and /public/ORDERS as it serves /public/orders.
#[tokio::test]
async fn no_near_miss_of_a_stricter_path_below_public_is_public() {
    let scene = Scene::start().await;
    let audience = format!("/public/orders={}", scene.issuer);
    let sidecar = scene.sidecar(&[TRAEFIK.rules, &[("WXMINT_SIDECAR_AUDIENCES", &audience)]].concat()).await;
    let mut traefik = TRAEFIK.start(&scene, sidecar.public).await;
    traefik.example.protected = "/public/orders";
    checks::paths(&scene, &traefik.example).await;
    let status = async |request: Request| request.send(traefik.example.address).await.map(|reply| reply.status);
    assert_eq!(status(Request::get("/public/orders/1").bearer(&scene.lin.token)).await, Ok(200));
    assert_eq!(status(Request::get("/public/hello")).await, Ok(200));
}

/// The sidecar would not take these paths for public, but back ends may have rules by path of their own.
#[tokio::test]
async fn traefik_resolves_a_path_for_the_back_end_and_refuses_what_it_does_not_resolve() {
    let Stage { scene, proxy: traefik, .. } = &Stage::with(&TRAEFIK).await;
    let status = async |path: &str, more: &str| {
        let request = Request::get(path).bearer(&scene.lin.token).line(more);
        request.send(traefik.example.address).await.expect("an answer").status
    };
    assert_eq!(status("/a//./%2e%2e/%6frders?page=2", "Accept: */*").await, 200);
    assert_eq!(scene.back_end.take().last().map(|seen| seen.path.clone()).as_deref(), Some("/orders?page=2"));
    for escape in ["%2f", "%5c", "%00", "%3b", "%25", "%3f", "%23", r"\"] {
        assert_eq!(status(&format!("/orders/{escape}"), "Accept: */*").await, 400, "{escape}");
    }
    assert_eq!(status("/orders", &format!("X-Long: {}", "x".repeat(40_000))).await, 431);
    assert!(scene.back_end.take().is_empty());
}
