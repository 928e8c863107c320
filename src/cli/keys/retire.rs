//! `wxmint keys retire KID --now`

use wxmint_keys::PrivateJwk;
use wxmint_keys::rotation::{self, CLOCK_SKEW, KeyState, Retirement, Successor};
use wxmint_verify::Algorithm;

use super::{Failure, place::KeysPlace, print, say};
use crate::{cli::output::confirm, clock::now};

pub(super) fn run(place: &KeysPlace, kid: &str, at_once: bool, yes: bool) -> Result<(), Failure> {
    let lives = place.read()?.lives().map_err(|error| Failure::from(error).at(place))?;
    let planned = rotation::retire(&lives, kid, now()).map_err(|refusal| Failure::from(refusal).at(place))?;
    if !at_once {
        let kept = rotation::refuse_removal(&lives, kid);
        return Err(Failure::usage(format_args!(
            "{place}: {kept}. If it has leaked, add --now: every token that it signed is then refused"
        )));
    }
    let is_in_set = lives.iter().any(|life| life.kid == kid);
    if !is_in_set {
        say(format_args!("{place} does not have {kid}. The key is revoked all the same."));
    }
    consequences(kid, &planned).into_iter().for_each(say);
    confirm(yes, format_args!("retire {kid}"))?;
    let done = place.change(|keys| {
        let now = now();
        let retirement = rotation::retire(&keys.lives()?, kid, now)?;
        keys.retire(kid, &retirement, now)?;
        Ok(retirement)
    })?;
    let left = if is_in_set { "is gone" } else { "is revoked" };
    let successor = if done.successor == Successor::Unchanged { "" } else { ", another key signs" };
    print(format_args!("{place}: {kid} {left}{successor}"));
    Ok(())
}

/// Ends all keys and puts a new one in their place: `wxmint keys generate --replace`.
pub(super) fn all(place: &KeysPlace, algorithm: Option<Algorithm>, yes: bool) -> Result<(), Failure> {
    // A set that cannot be used is replaced too.
    let lives = place.read()?.lives().unwrap_or_default();
    let algorithm = algorithm.or(lives.last().map(|life| life.algorithm)).unwrap_or(Algorithm::Es256);
    let invalid = "EVERY TOKEN BECOMES INVALID. All users have to log in again.";
    [invalid, SPREADING, SIGNS_UNKNOWN].into_iter().for_each(say);
    confirm(yes, format_args!("revoke every key of {place}"))?;
    let kid = place.change(|keys| {
        let now = now();
        // Early enough for a replica whose clock is slow.
        let key = PrivateJwk::generate(algorithm, now - CLOCK_SKEW)?;
        let kid = key.kid().to_owned();
        keys.replace(key, now);
        Ok(kid)
    })?;
    print(format_args!("{place}: {algorithm} key {kid}, signs from now on; each earlier key is revoked"));
    Ok(())
}

const SPREADING: &str = "  wxmint serve stops publishing the key within 5 s, and says in its feed that the key is revoked: verifiers that \
     follow the feed refuse its tokens within 10 s more. The others do so from their next fetch on: jose and PyJWT \
     within minutes, Envoy within 10, Istio within 20; one that caches verified tokens, when they expire.";
const SIGNS_UNKNOWN: &str = "  A new key signs from now on. Verifiers refuse its tokens until their next fetch: those that fetch on an unknown kid \
     within 30 s, Envoy within 10 minutes, Istio within 20. Restart them to be quicker.";

/// Says what breaks, and for how long. docs/keys.md explains the times.
fn consequences(kid: &str, planned: &Retirement) -> Vec<String> {
    if planned.state == KeyState::Published {
        return vec![format!("{kid} has signed nothing yet: nobody notices that it goes.")];
    }
    let signs = match &planned.successor {
        Successor::Unchanged => "  The key that signs now goes on signing; new logins work at once.".into(),
        Successor::Promoted(next) => format!(
            "  {next}, which is published already, signs from now on; verifiers that have not fetched it yet refuse new \
             tokens until they do."
        ),
        Successor::New(_) => SIGNS_UNKNOWN.into(),
    };
    let invalid = format!("EVERY TOKEN THAT {kid} SIGNED BECOMES INVALID. Their users have to log in again.");
    vec![invalid, SPREADING.into(), signs]
}
