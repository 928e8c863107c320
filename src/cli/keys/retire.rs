//! `wxmint keys retire KID --now`

use super::{Failure, place::KeysPlace, print, say};
use crate::{
    cli::output::confirm,
    http::now,
    keys::rotation::{self, KeyState, Retirement, Successor},
};

pub(super) fn run(place: &KeysPlace, kid: &str, at_once: bool, yes: bool) -> Result<(), Failure> {
    let set = place.read_set()?;
    if !at_once {
        let kept = rotation::refuse_removal(set.lives(), kid);
        return Err(Failure::usage(format_args!(
            "{place}: {kept}. If it has leaked, add --now: every token that it signed is then refused"
        )));
    }
    let planned = rotation::retire(set.lives(), kid, now()).map_err(|refusal| Failure::from(refusal).at(place))?;
    for line in consequences(kid, &planned) {
        say(line);
    }
    if !yes {
        confirm(format_args!("retire {kid}"))?;
    }
    let done = place.change(|keys| {
        let now = now();
        let retirement = rotation::retire(keys.check()?.lives(), kid, now)?;
        keys.retire(kid, &retirement, now)?;
        Ok(retirement)
    })?;
    let successor = if done.state == KeyState::Signing { ", another key signs" } else { "" };
    print(format_args!("{place}: {kid} is gone{successor}"));
    Ok(())
}

/// What breaks, and for how long. docs/keys.md explains the times.
fn consequences(kid: &str, planned: &Retirement) -> Vec<String> {
    if planned.state == KeyState::Published {
        return vec![format!("{kid} has signed nothing yet: nobody notices that it goes.")];
    }
    let mut lines = vec![
        format!("EVERY TOKEN THAT {kid} SIGNED BECOMES INVALID. Their users have to log in again."),
        "  wxmint serve stops publishing the key within 5 s, and says in its feed that the key has ended: peers that \
         follow the feed refuse its tokens within 10 s more. The others do so from their next fetch on: jose and PyJWT \
         within minutes, Envoy within 10, Istio within 20; one that caches verified tokens, when they expire."
            .into(),
    ];
    match &planned.successor {
        Successor::Unchanged => lines.push("  The key that signs now goes on signing; new logins work at once.".into()),
        Successor::Promoted(next) => lines.push(format!(
            "  {next}, which is published already, signs from now on; peers that have not fetched it yet refuse new \
             tokens until they do."
        )),
        Successor::New(_) => lines.push(
            "  A new key signs from now on. Peers refuse its tokens until their next fetch: those that fetch on an \
             unknown kid within 30 s, Envoy within 10 minutes, Istio within 20. Restart them to be quicker."
                .into(),
        ),
    }
    lines
}
