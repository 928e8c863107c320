//! examples/peers/spring-cloud-gateway and examples/peers/sa-token, which use clients/java: `make nightly`.

use crate::checks::{self, LOOKS_AT_THE_FEED};
use crate::envoy::passes_on_who_it_is_and_no_token;
use crate::example::{Example, Started};
use crate::java_spring::{copy, run};
use crate::raw::Request;
use crate::scene::Scene;
use crate::support::{PATIENCE, eventually};

async fn status(example: &Example, request: &Request) -> u16 {
    request
        .send(example.address)
        .await
        .expect("an answer")
        .status
}

mod spring_cloud_gateway {
    use super::*;

    fn gateway(scene: &Scene) -> Started {
        let back_end = scene.back_end.address.to_string();
        run(
            "spring-cloud-gateway",
            copy("spring-cloud-gateway", &[("127.0.0.1:3000", &back_end)]),
            scene.address(),
            &[],
        )
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "nightly"]
    async fn lets_good_tokens_through_and_nothing_else_and_obeys_revocations() {
        let scene = Scene::start().await;
        let Started { example, .. } = &gateway(&scene);
        checks::verifies_by_itself(&scene, example, &[], LOOKS_AT_THE_FEED).await;
        checks::identity_headers(&scene, example).await;
        passes_on_who_it_is_and_no_token(&scene, example, true).await;
        passes_on_who_opens_a_web_socket(&scene, example).await;
        checks::obeys_revocations(&scene, example).await;
    }

    async fn passes_on_who_opens_a_web_socket(scene: &Scene, example: &Example) {
        scene.back_end.take();
        let request = Request::get(example.protected)
            .bearer(&scene.lin.token)
            .lines(checks::UPGRADE);
        let answered = request.send(example.address).await;
        let seen = scene.back_end.take();
        let [seen] = &seen[..] else {
            panic!("one request: {seen:?}, {answered:?}")
        };
        let values = ["upgrade", "authorization", "x-user-id"].map(|name| seen.values(name));
        assert_eq!(
            values,
            [vec!["websocket"], vec![], vec![&*scene.lin.user_id]],
            "{seen:?}"
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "nightly"]
    async fn says_503_until_it_has_keys() {
        let scene = Scene::without_issuer().await;
        let Started { example, .. } = &gateway(&scene);
        checks::starts_before_the_issuer(&scene, example).await;
    }
}

mod sa_token {
    use super::*;

    fn service(scene: &Scene, more: &[String]) -> Started {
        run("sa-token", copy("sa-token", &[]), scene.address(), more)
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "nightly, where Maven can have Sa-Token"]
    async fn takes_our_tokens_alone_and_obeys_revocations() {
        let scene = Scene::start().await;
        let Started { example, .. } = &service(&scene, &[]);
        checks::verifies_by_itself(&scene, example, &[], LOOKS_AT_THE_FEED).await;
        checks::obeys_revocations(&scene, example).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "nightly, where Maven can have Sa-Token"]
    async fn permissions_are_those_of_the_tokens_user_who_has_no_other_session() {
        let scene = Scene::start().await;
        let Started { example, .. } = &service(
            &scene,
            &[format!("--orders.managers={}", scene.lin.user_id)],
        );
        eventually("it has keys", PATIENCE, async || {
            scene.is_let_in(example).await
        })
        .await;
        let all = |token: &str| Request::get("/orders/all").bearer(token);
        assert_eq!(
            status(example, &all(&scene.lin.token)).await,
            200,
            "has the permission"
        );
        assert_eq!(
            status(example, &all(&scene.mei.token)).await,
            403,
            "lacks it"
        );
        // As Sa-Token reads tokens of its own, had it made one.
        let reply = all(&scene.lin.token)
            .send(example.address)
            .await
            .expect("an answer");
        assert_eq!(reply.header("set-cookie"), Vec::<&str>::new(), "{reply:?}");
        for line in
            ["Cookie: satoken=", "satoken: "].map(|start| format!("{start}{}", scene.lin.token))
        {
            assert_eq!(
                status(example, &Request::get("/orders/all").line(&line)).await,
                401,
                "{line}"
            );
            let hello = Request::get("/public/hello")
                .line(&line)
                .send(example.address)
                .await
                .expect("an answer");
            assert_eq!(hello.json()["logged_in"], false, "{hello:?}");
        }
        scene.log_out_everywhere(&scene.lin).await;
        eventually("a manager is logged out", PATIENCE, async || {
            (status(example, &all(&scene.lin.token)).await == 401).then_some(())
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "nightly, where Maven can have Sa-Token"]
    async fn says_503_until_it_has_keys() {
        let scene = Scene::without_issuer().await;
        let Started { example, .. } = &service(&scene, &[]);
        checks::starts_before_the_issuer(&scene, example).await;
    }
}
