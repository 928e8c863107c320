//! The requests to the issuer, and the fate of tokens when it does not answer.

use serde_json::json;

use super::Asked;
use crate::example::Example;
use crate::raw::Request;
use crate::scene::{Login, Scene};

/// As measured in docs/verify.md.
const UNKNOWN_KIDS: u32 = 40;

pub(crate) async fn issuer_faults(scene: &Scene, example: &Example) -> Vec<String> {
    let mut faults = Vec::new();
    scene.link.cut().await;
    faults.extend(refused(scene, example, &scene.lin, "gone, a token that it knows").await);
    faults.extend(
        refused(
            scene,
            example,
            &scene.log_in("mei").await,
            "gone, a new token",
        )
        .await,
    );
    scene.link.restore().await;
    scene.link.stall().await;
    faults.extend(
        refused(
            scene,
            example,
            &scene.log_in("mei").await,
            "silent, a new token",
        )
        .await,
    );
    scene.link.restore().await;
    faults
}

async fn refused(scene: &Scene, example: &Example, login: &Login, what: &str) -> Option<String> {
    let asked = Asked::send(
        scene,
        example,
        &Request::get(example.protected).bearer(&login.token),
    )
    .await;
    asked
        .unlike(login)
        .map(|fault| format!("issuer, {what}: {fault}"))
}

pub(crate) async fn unknown_key_faults(
    scene: &Scene,
    example: &Example,
    fetches: u64,
) -> Vec<String> {
    let mut faults = Vec::new();
    let (forge, before) = (scene.forge(), scene.link.round_trips());
    for number in 0..UNKNOWN_KIDS {
        let header = forge.header_with(json!({"kid": format!("unheard-of-{number}")}));
        let token = forge.by_other(&header, &forge.claims);
        let asked = Asked::send(
            scene,
            example,
            &Request::get(example.protected).bearer(&token),
        )
        .await;
        let closed = asked.seen.is_empty() && asked.status() >= 400;
        faults.extend((!closed).then(|| format!("a token of an unknown key: {}", asked.told())));
    }
    let asked = scene.link.round_trips() - before;
    let many =
        (asked > fetches).then(|| format!("{asked} fetches for {UNKNOWN_KIDS} unknown kids"));
    faults.extend(many);
    faults
}
