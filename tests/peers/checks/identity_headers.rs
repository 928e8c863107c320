//! Identity headers of the client's own.

use std::iter;

use super::Asked;
use crate::{example::Example, raw::Request, scene::Scene};

const FORGED: &str = "forged";

/// A gateway may lead it past what it does with other requests.
pub(crate) const UPGRADE: [&str; 4] = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
];

pub(crate) async fn identity_header_faults(scene: &Scene, example: &Example) -> Vec<String> {
    let mut faults = Vec::new();
    let bad = scene
        .bad_tokens()
        .into_iter()
        .find(|bad| bad.name == "signature")
        .expect("a bad token")
        .credentials;
    for lines in forgeries() {
        let with = |request: Request| request.lines(lines.iter().map(String::as_str));
        let known = Asked::send(
            scene,
            example,
            &with(Request::get(example.protected).bearer(&scene.lin.token)),
        )
        .await;
        faults.extend(
            known_fault(scene, &known).map(|fault| format!("{lines:?} with a token: {fault}")),
        );
        let Some(public) = example.public else {
            continue;
        };
        let unknown = Asked::send(scene, example, &with(Request::get(public))).await;
        faults.extend(
            unknown_fault(&unknown).map(|fault| format!("{lines:?} without a token: {fault}")),
        );
        let with_bad = Request::get(public).lines(bad.0.iter().map(String::as_str));
        let unknown = Asked::send(scene, example, &with(with_bad)).await;
        faults.extend(
            unknown_fault(&unknown).map(|fault| format!("{lines:?} with a bad token: {fault}")),
        );
    }
    faults.extend(plain_faults(scene, example).await);
    faults
}

/// Without any forgery, so that an example which refuses everything is none.
async fn plain_faults(scene: &Scene, example: &Example) -> Vec<String> {
    let mut faults = Vec::new();
    let asked = Asked::send(
        scene,
        example,
        &Request::get(example.protected).bearer(&scene.lin.token),
    )
    .await;
    faults.extend(asked.unlike(&scene.lin));
    if asked.seen.len() != 1 {
        faults.push(format!(
            "the back end should see one request: {:?}",
            asked.seen
        ));
    }
    if let Some(public) = example.public {
        let asked = Asked::send(scene, example, &Request::get(public)).await;
        let nobody = asked.is_ok() && asked.seen.len() == 1 && asked.seen[0].is_of_nobody();
        faults.extend((!nobody).then(|| {
            format!(
                "{public} should reach the back end, of nobody: {}",
                asked.told()
            )
        }));
    }
    faults
}

/// Each is one request's lines.
fn forgeries() -> Vec<Vec<String>> {
    let mut forgeries = Vec::new();
    for [first, second, third] in [
        ["X", "User", "Id"],
        ["X", "Client", "Id"],
        ["X", "Token", "Id"],
    ] {
        let name = format!("{first}-{second}-{third}");
        let dashed = [
            name.clone(),
            name.to_lowercase(),
            name.to_uppercase(),
            swapped_case(&name),
        ];
        let mut spellings: Vec<String> = dashed.into();
        for (one, other) in [
            ("_", "_"),
            ("_", "-"),
            ("-", "_"),
            (".", "."),
            (".", "-"),
            ("-", "."),
            ("_", "."),
        ] {
            spellings.push(format!("{first}{one}{second}{other}{third}"));
            spellings.push(format!("{first}{one}{second}{other}{third}").to_lowercase());
        }
        forgeries.extend(
            spellings
                .iter()
                .map(|spelling| vec![format!("{spelling}: {FORGED}")]),
        );
        forgeries.push(vec![format!("{name}:{FORGED}")]);
        forgeries.push(vec![
            format!("{name}: {FORGED}"),
            format!("{name}: {FORGED} too"),
        ]);
        forgeries.push(
            spellings
                .iter()
                .map(|spelling| format!("{spelling}: {FORGED}"))
                .collect(),
        );
        // Hop by hop: whoever removes such a header removes it after having set it, or never.
        forgeries.push(vec![
            format!("{name}: {FORGED}"),
            format!("Connection: {name}"),
        ]);
        forgeries.push(vec![
            format!("Connection: close, {name}"),
            format!("{name}: {FORGED}"),
        ]);
        forgeries.push(vec![format!("Connection: {name}")]);
        forgeries.push(vec![
            format!("{name}: {FORGED}"),
            format!("Connection: keep-alive, {}", name.to_lowercase()),
        ]);
        forgeries.push(
            iter::once(format!("{name}: {FORGED}"))
                .chain(UPGRADE.map(str::to_owned))
                .collect(),
        );
        // Not HTTP; a lax server takes them for the header all the same.
        for odd in [
            format!(" {name}"),
            format!("{name} "),
            format!("{name}\t"),
            format!("\t{name}"),
        ] {
            forgeries.push(vec!["Accept: */*".to_owned(), format!("{odd}: {FORGED}")]);
        }
    }
    forgeries
}

fn swapped_case(name: &str) -> String {
    let swapped = |letter: char| match letter.is_ascii_lowercase() {
        true => letter.to_ascii_uppercase(),
        false => letter.to_ascii_lowercase(),
    };
    name.chars().map(swapped).collect()
}

/// To be refused for its form is right, too.
fn known_fault(scene: &Scene, asked: &Asked) -> Option<String> {
    if asked.seen.is_empty() && !asked.is_ok() {
        return refusal_fault(asked);
    }
    let right = asked.seen.iter().all(|seen| seen.is_of(&scene.lin));
    (!right || asked.seen.is_empty()).then(|| format!("the back end sees {:?}", asked.seen))
}

fn unknown_fault(asked: &Asked) -> Option<String> {
    if asked.seen.is_empty() && !asked.is_ok() {
        return refusal_fault(asked);
    }
    let right = asked.seen.iter().all(super::Seen::is_of_nobody);
    (!right || asked.seen.is_empty()).then(|| format!("the back end sees {:?}", asked.seen))
}

/// A 5xx would be ours, and so would an upgrade that the back end has not agreed to.
fn refusal_fault(asked: &Asked) -> Option<String> {
    (asked.status() >= 500 || asked.status() == 101).then(|| asked.told())
}
