//! Bad tokens that few programs are given, for those that are told to refuse them.

use serde_json::json;

use super::{
    Asked, Exceptions,
    tokens::{request, undocumented},
};
use crate::{example::Example, forge::Credentials, scene::Scene};

pub(crate) async fn strict_faults(scene: &Scene, example: &Example, exceptions: Exceptions<'_>) -> Vec<String> {
    let mut faults = undocumented(example, exceptions);
    let real = request(example, &Credentials::bearer(&scene.lin.token));
    for (name, credentials) in odd_tokens(scene) {
        let asked = Asked::send(scene, example, &request(example, &credentials)).await;
        let excepted = exceptions.iter().any(|(excepted, _)| *excepted == name);
        let refused = asked.seen.is_empty() && (400..500).contains(&asked.status());
        match (excepted, refused) {
            (true, true) => faults.push(format!("{name}: documented as accepted, but is refused: {}", asked.told())),
            (false, false) => faults.push(format!("{name}: {}", asked.told())),
            _ => {}
        }
    }
    let asked = Asked::send(scene, example, &real).await;
    faults.extend(asked.unlike(&scene.lin).map(|fault| format!("a real token: {fault}")));
    // Ours of several audiences say so in an array.
    let forge = scene.forge();
    let audiences = json!({"aud": ["https://one.example", forge.claims["aud"]]});
    let token = forge.by_issuer(&forge.header, &forge.claims_with(audiences));
    let asked = Asked::send(scene, example, &request(example, &Credentials::bearer(&token))).await;
    faults.extend(asked.unlike(&scene.lin).map(|fault| format!("one of several audiences: {fault}")));
    faults
}

fn odd_tokens(scene: &Scene) -> Vec<(&'static str, Credentials)> {
    let forge = scene.forge();
    let bearer = |(name, token): (&'static str, String)| (name, Credentials::bearer(&token));
    let mut odd: Vec<_> = forge.odd_tokens(&scene.lin.token).into_iter().map(bearer).collect();
    let (lin, mei) = (&scene.lin.token, &scene.mei.token);
    odd.push(("two tokens in one header", Credentials(vec![format!("Authorization: Bearer {lin}, Bearer {mei}")])));
    odd.push((
        "a token and a password",
        Credentials(vec![format!("Authorization: Bearer {lin}"), "Authorization: Basic bGluOmxpbg==".to_owned()]),
    ));
    odd.push(("another scheme", Credentials(vec![format!("Authorization: Basic {lin}")])));
    odd
}
