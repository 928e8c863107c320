//! The commands that show and change the life of keys: `wxmint keys list`, `rotate`, `retire KID --now`.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use wxmint_keys::rotation::{
    self, CLOCK_SKEW, KeyLife, KeyState, Retirement, RotationStep, Successor,
};
use wxmint_keys::{PrivateJwk, StoredKeys};
use wxmint_verify::Algorithm;

use super::{Failure, PolicyArgs, place::KeysPlace, print, say};
use crate::cli::output::{Language, confirm};
use crate::clock::{date, now};
use crate::findings::Finding;

pub(super) fn list(place: &KeysPlace, as_json: bool) -> Result<(), Failure> {
    let keys = place.read()?;
    let now = now();
    let lives = keys
        .lives()
        .map_err(|error| Failure::from(error).at(place))?;
    // A key stops signing at its successor's first signature.
    let signs_until = lives
        .iter()
        .skip(1)
        .map(|next| Some(next.nbf))
        .chain([None]);
    let rows = lives
        .iter()
        .zip(rotation::states(&lives, now))
        .zip(signs_until);
    if as_json {
        let rows = rows.map(|((life, state), until)| {
            let alg = life.algorithm.name();
            let state = state.to_string();
            let [nbf, signs_until, exp] = [Some(life.nbf), until, life.exp].map(|at| at.map(date));
            json!({"kid": life.kid, "alg": alg, "state": state, "nbf": nbf, "signs_until": signs_until, "exp": exp})
        });
        let revoked = keys.revoked.iter();
        let revoked = revoked
            .map(|key| json!({"kid": key.kid, "state": "revoked", "revoked": date(key.at())}));
        print(rows.chain(revoked).collect::<serde_json::Value>());
        return Ok(());
    }
    for ((life, state), until) in rows {
        print(format_args!("{}  {}  {state}", life.kid, life.algorithm));
        print(format_args!("    {}", in_words(life, state, until)));
    }
    for key in &keys.revoked {
        print(format_args!("{}  revoked", key.kid));
        print(format_args!(
            "    retired at once on {}; verifiers refuse its tokens",
            date(key.at())
        ));
    }
    Ok(())
}

fn in_words(life: &KeyLife, state: KeyState, signs_until: Option<DateTime<Utc>>) -> String {
    let nbf = date(life.nbf);
    let until = signs_until.map(date);
    let exp = life.exp.map_or(
        "it is replaced, and its last token has expired".into(),
        date,
    );
    match (state, until) {
        (KeyState::Published, _) => format!("visible now, signs from {nbf}"),
        (KeyState::Signing, Some(until)) => {
            format!("signs since {nbf} until {until}; visible until {exp}")
        }
        (KeyState::Signing, None) => format!("signs since {nbf}; no successor is published"),
        (KeyState::Retired, _) => {
            format!("signed from {nbf}; visible until {exp}, for the tokens that it signed")
        }
        (KeyState::Gone, _) => {
            format!("out of sight since {exp}; leaves the set with a later `keys rotate`")
        }
    }
}

/// The longest known interval at which verifiers fetch keys (docs/keys.md). With a shorter lead,
/// such verifiers reject tokens of a new key.
const LONGEST_KNOWN_POLL_MINUTES: i64 = 20;

/// Warns if the lead is shorter than some verifiers' interval of fetching keys.
pub(in crate::cli) fn short_lead(lead: TimeDelta) -> Option<Finding> {
    let found = message!(lead_is_short, lead.num_seconds());
    (lead.num_minutes() < LONGEST_KNOWN_POLL_MINUTES)
        .then(|| Finding::warning("settings", found, message!(see_docs_keys_md)))
}

pub(super) fn rotate(
    place: &KeysPlace,
    policy: &PolicyArgs,
    at_once: bool,
    dry_run: bool,
) -> Result<(), Failure> {
    let step = |keys: &mut StoredKeys| {
        let policy = policy.policy(keys, place)?;
        let now = now();
        let set = keys.check()?;
        let mut step = rotation::plan(&set.lives, &policy, now, at_once)?;
        let waiting = set.lives.last().filter(|last| last.nbf > now).cloned();
        let forgotten = keys.purge_revoked(now);
        keys.apply(&step)?;
        step.next_look = rotation::plan(&keys.check()?.lives, &policy, now, false)?.next_look;
        Ok::<_, Failure>((step, policy, waiting, forgotten))
    };
    let (step, policy, waiting, forgotten) = if dry_run {
        step(&mut place.read()?)?
    } else {
        place.change(step)?
    };
    if let Some(note) = short_lead(policy.lead) {
        say(format_args!("note: {}", Language::of_locale().tell(note)));
    }
    for kid in forgotten {
        let verb = if dry_run { "would leave" } else { "left" };
        print(format_args!(
            "{place}: {kid}, which was retired at once, {verb} the file; its last token has expired"
        ));
    }
    for line in said(&step, waiting.as_ref(), dry_run) {
        print(format_args!("{place}: {line}"));
    }
    Ok(())
}

fn said(step: &RotationStep, waiting: Option<&KeyLife>, dry_run: bool) -> Vec<String> {
    let verb = |done: &str, planned: &str| {
        if dry_run {
            planned.to_owned()
        } else {
            done.to_owned()
        }
    };
    let mut lines = Vec::new();
    if let Some((algorithm, nbf)) = step.publish {
        let published = verb("published", "would publish");
        let from = date(nbf);
        lines.push(format!(
            "{published} a new {algorithm} key, which signs from {from}"
        ));
    }
    for (kid, exp) in &step.expire {
        lines.push(format!(
            "{kid} {} visible until {}",
            verb("stays", "would stay"),
            date(*exp)
        ));
    }
    for kid in &step.drop {
        lines.push(format!(
            "{kid} {} the set; it has been out of sight",
            verb("left", "would leave")
        ));
    }
    if lines.is_empty() {
        let reason = waiting.map(
            |KeyLife {
                 kid,
                 algorithm,
                 nbf,
                 ..
             }| {
                format!(
                    ": {kid} ({algorithm}) is published already, and signs from {}",
                    date(*nbf)
                )
            },
        );
        lines.push(format!("nothing to do{}", reason.unwrap_or_default()));
    }
    lines.extend(
        step.next_look
            .map(|next| format!("nothing changes before {}", date(next))),
    );
    lines
}

pub(super) fn retire(
    place: &KeysPlace,
    kid: &str,
    at_once: bool,
    yes: bool,
) -> Result<(), Failure> {
    let lives = place
        .read()?
        .lives()
        .map_err(|error| Failure::from(error).at(place))?;
    let planned =
        rotation::retire(&lives, kid, now()).map_err(|refusal| Failure::from(refusal).at(place))?;
    if !at_once {
        let kept = rotation::refuse_removal(&lives, kid);
        return Err(Failure::usage(format_args!(
            "{place}: {kept}. If it has leaked, add --now: every token that it signed is then refused"
        )));
    }
    let is_in_set = lives.iter().any(|life| life.kid == kid);
    if !is_in_set {
        say(format_args!(
            "{place} does not have {kid}. The key is revoked all the same."
        ));
    }
    for line in consequences(kid, &planned) {
        say(line);
    }
    confirm(yes, format_args!("retire {kid}"))?;
    let done = place.change(|keys| {
        let now = now();
        let retirement = rotation::retire(&keys.lives()?, kid, now)?;
        keys.retire(kid, &retirement, now)?;
        Ok(retirement)
    })?;
    let left = if is_in_set { "is gone" } else { "is revoked" };
    let successor = if done.successor == Successor::Unchanged {
        ""
    } else {
        ", another key signs"
    };
    print(format_args!("{place}: {kid} {left}{successor}"));
    Ok(())
}

/// Revokes all keys and puts a new key in their place: `wxmint keys generate --replace`.
pub(super) fn replace_all(
    place: &KeysPlace,
    algorithm: Option<Algorithm>,
    yes: bool,
) -> Result<(), Failure> {
    // A set that cannot be read has no lives, and is replaced, too.
    let lives = place.read()?.lives().unwrap_or_default();
    let algorithm = algorithm
        .or(lives.last().map(|life| life.algorithm))
        .unwrap_or(Algorithm::Es256);
    let invalid = "EVERY TOKEN BECOMES INVALID. All users have to log in again.";
    for line in [invalid, SPREADING, SIGNS_UNKNOWN] {
        say(line);
    }
    confirm(yes, format_args!("revoke every key of {place}"))?;
    let kid = place.change(|keys| {
        let now = now();
        // Dated back, so that it is also valid at a replica whose clock is slow.
        let key = PrivateJwk::generate(algorithm, now - CLOCK_SKEW)?;
        let kid = key.kid().to_owned();
        keys.replace(key, now);
        Ok(kid)
    })?;
    print(format_args!(
        "{place}: {algorithm} key {kid}, signs from now on; each earlier key is revoked"
    ));
    Ok(())
}

const SPREADING: &str = "  wxmint serve stops publishing the key within 5 s, and says in its feed that the key is revoked: verifiers that \
     follow the feed refuse its tokens within 10 s more. The others do so from their next fetch on: jose and PyJWT \
     within minutes, Envoy within 10, Istio within 20; one that caches verified tokens, when they expire. Where another \
     region publishes the key (WXMINT_JWKS_PEERS), run `wxmint keys retire KID --now` there too.";
const SIGNS_UNKNOWN: &str = "  A new key signs from now on. Verifiers refuse its tokens until their next fetch: those that fetch on an unknown kid \
     within 30 s, Envoy within 10 minutes, Istio within 20. Restart them to be quicker.";

/// Says what breaks, and for how long. docs/keys.md explains the times.
fn consequences(kid: &str, planned: &Retirement) -> Vec<String> {
    if planned.state == KeyState::Published {
        return vec![format!(
            "{kid} has signed nothing yet: nobody notices that it goes."
        )];
    }
    let signs = match &planned.successor {
        Successor::Unchanged => {
            "  The key that signs now goes on signing; new logins work at once.".into()
        }
        Successor::Promoted(next) => format!(
            "  {next}, which is published already, signs from now on; verifiers that have not fetched it yet refuse new \
             tokens until they do."
        ),
        Successor::New(_) => SIGNS_UNKNOWN.into(),
    };
    let invalid =
        format!("EVERY TOKEN THAT {kid} SIGNED BECOMES INVALID. Their users have to log in again.");
    vec![invalid, SPREADING.into(), signs]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_in_place_of_all_others_signs_at_once_also_by_a_clock_that_is_slow() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = KeysPlace::File(folder.path().join("keys.json"));
        let old = PrivateJwk::generate(Algorithm::Es256, now()).expect("a key");
        place
            .create(&StoredKeys::of([old.clone()]))
            .expect("it can be used");
        replace_all(&place, None, true).expect("it can be used");
        let set = place
            .read()
            .expect("it can be used")
            .check()
            .expect("a set");
        for clock in [now(), now() - CLOCK_SKEW] {
            assert_ne!(
                set.signing(clock).expect("a key signs").public().kid(),
                old.kid()
            );
        }
    }
}
