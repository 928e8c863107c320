//! examples/peers/traefik: `ForwardAuth`.

use crate::forward_auth::{Stage, TRAEFIK};
use crate::raw::Request;

/// Back ends may have rules by path of their own.
#[tokio::test]
async fn traefik_resolves_a_path_for_the_back_end_and_refuses_what_it_does_not_resolve() {
    let Stage {
        scene,
        proxy: traefik,
        ..
    } = &Stage::with(&TRAEFIK).await;
    let status = async |path: &str, more: &str| {
        let request = Request::get(path).bearer(&scene.lin.token).line(more);
        request
            .send(traefik.example.address)
            .await
            .expect("an answer")
            .status
    };
    assert_eq!(
        status("/a//./%2e%2e/%6frders?page=2", "Accept: */*").await,
        200
    );
    assert_eq!(
        scene
            .back_end
            .take()
            .last()
            .map(|seen| seen.path.clone())
            .as_deref(),
        Some("/orders?page=2")
    );
    for escape in ["%2f", "%5c", "%00", "%3b", "%25", "%3f", "%23", r"\"] {
        assert_eq!(
            status(&format!("/orders/{escape}"), "Accept: */*").await,
            400,
            "{escape}"
        );
    }
    assert_eq!(
        status("/orders", &format!("X-Long: {}", "x".repeat(40_000))).await,
        431
    );
    assert!(scene.back_end.take().is_empty());
}
