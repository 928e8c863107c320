//! Good and bad tokens.

use std::fs;

use super::{Asked, Exceptions};
use crate::example::Example;
use crate::forge::{BadToken, Credentials};
use crate::raw::Request;
use crate::scene::{Login, Scene};
use crate::support::repository;

pub(crate) async fn token_faults(
    scene: &Scene,
    example: &Example,
    exceptions: Exceptions<'_>,
) -> Vec<String> {
    let mut faults = undocumented(example, exceptions);
    faults.extend(real_token_fault(scene, example, &scene.lin).await);
    let bad_tokens = scene.bad_tokens();
    for (name, _) in exceptions {
        assert!(
            bad_tokens.iter().any(|bad| bad.name == *name),
            "no bad token is called {name}"
        );
    }
    for bad in bad_tokens {
        let asked = Asked::send(scene, example, &request(example, &bad.credentials)).await;
        let excepted = exceptions.iter().any(|(name, _)| *name == bad.name);
        let fault = match excepted {
            true => (!asked.is_ok())
                .then(|| format!("documented as accepted, but is refused: {}", asked.told())),
            false => refusal_fault(example, &bad, &asked),
        };
        faults.extend(fault.map(|fault| format!("{}: {fault}", bad.name)));
    }
    faults.extend(
        scene
            .canary
            .seen()
            .into_iter()
            .map(|asked| format!("the canary was asked: {asked}")),
    );
    // The bad ones have not spoiled it for the good ones, nor for one that is new.
    faults.extend(real_token_fault(scene, example, &scene.lin).await);
    faults.extend(real_token_fault(scene, example, &scene.log_in("mei").await).await);
    faults.extend(public_fault(scene, example).await);
    faults
}

async fn real_token_fault(scene: &Scene, example: &Example, login: &Login) -> Option<String> {
    let asked = Asked::send(
        scene,
        example,
        &Request::get(example.protected).bearer(&login.token),
    )
    .await;
    asked
        .unlike(login)
        .map(|fault| format!("a real token: {fault}"))
}

async fn public_fault(scene: &Scene, example: &Example) -> Option<String> {
    let asked = Asked::send(scene, example, &Request::get(example.public?)).await;
    (!asked.is_ok()).then(|| format!("without a token, where none is wanted: {}", asked.told()))
}

fn request(example: &Example, credentials: &Credentials) -> Request {
    Request::get(example.protected).lines(credentials.0.iter().map(String::as_str))
}

fn refusal_fault(example: &Example, bad: &BadToken, asked: &Asked) -> Option<String> {
    if !asked.seen.is_empty() {
        return Some(format!("reaches the back end: {}", asked.told()));
    }
    let status = asked.status();
    // A request that is refused before it has been sent whole may be answered by a reset.
    let by_form: &[u16] = match bad.name {
        "two tokens" => &[400],
        "long token" => &[0, 400, 413, 431],
        _ => &[],
    };
    let refused = [401, 403].contains(&status)
        || by_form.contains(&status)
        || example.also_refuses_by.contains(&status);
    if !refused {
        return Some(asked.told());
    }
    let reply = asked.reply.as_ref().ok()?;
    let challenged = reply
        .header("www-authenticate")
        .iter()
        .any(|value| value.starts_with("Bearer"));
    (status == 401 && !challenged).then(|| "401 without WWW-Authenticate: Bearer".to_owned())
}

/// Whoever copies an example must know what it lets through.
fn undocumented(example: &Example, exceptions: Exceptions<'_>) -> Vec<String> {
    if exceptions.is_empty() {
        return Vec::new();
    }
    let page = repository("examples/peers")
        .join(example.name)
        .join("README.md");
    let page = fs::read_to_string(page).unwrap_or_default();
    let silent = exceptions
        .iter()
        .filter(|(_, why)| why.is_empty() || !page.contains(why));
    silent
        .map(|(name, why)| format!("{name} is an exception, and README.md does not say: {why}"))
        .collect()
}
