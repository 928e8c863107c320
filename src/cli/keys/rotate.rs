//! `wxmint keys rotate`

use chrono::TimeDelta;
use wxmint_findings::Finding;
use wxmint_keys::StoredKeys;
use wxmint_keys::rotation::{self, KeyLife, RotationStep};

use super::{Failure, PolicyArgs, date, place::KeysPlace, print, say};
use crate::{cli::language::Language, clock::now};

/// Some verifiers fetch keys as rarely as this (docs/keys.md), and refuse tokens of a key with a shorter lead.
pub(super) const LONGEST_KNOWN_POLL_MINUTES: i64 = 20;

/// A warning if the lead is shorter than some verifiers' interval of fetching keys.
pub(in crate::cli) fn short_lead(lead: TimeDelta) -> Option<Finding> {
    let seconds = lead.num_seconds();
    let found = said!(lead_is_short, seconds);
    (lead.num_minutes() < LONGEST_KNOWN_POLL_MINUTES)
        .then(|| Finding::warning("settings", found, said!(see_docs_keys_md)))
}

pub(super) fn run(place: &KeysPlace, policy: &PolicyArgs, at_once: bool, dry_run: bool) -> Result<(), Failure> {
    let rotate = |keys: &mut StoredKeys| {
        let (policy, now) = (policy.policy(keys, place)?, now());
        let set = keys.check()?;
        let mut step = rotation::plan(set.lives(), &policy, now, at_once)?;
        let waiting = set.lives().last().filter(|last| last.nbf > now).cloned();
        let forgotten = keys.forget_ended(&policy, now);
        keys.apply(&step)?;
        step.next_look = rotation::plan(keys.check()?.lives(), &policy, now, false)?.next_look;
        Ok::<_, Failure>((step, policy, waiting, forgotten))
    };
    let (step, policy, waiting, forgotten) =
        if dry_run { rotate(&mut place.read()?)? } else { place.change(rotate)? };
    if let Some(note) = short_lead(policy.lead) {
        say(format_args!("note: {}", Language::of_locale().tell(note)));
    }
    for kid in forgotten {
        let verb = if dry_run { "would leave" } else { "left" };
        print(format_args!("{place}: {kid}, which was retired at once, {verb} the file; its last token has expired"));
    }
    said(&step, waiting.as_ref(), dry_run).iter().for_each(|line| print(format_args!("{place}: {line}")));
    Ok(())
}

fn said(step: &RotationStep, waiting: Option<&KeyLife>, dry_run: bool) -> Vec<String> {
    let verb = |done: &str, planned: &str| if dry_run { planned.to_owned() } else { done.to_owned() };
    let mut lines = Vec::new();
    if let Some(new) = step.publish {
        let (published, from) = (verb("published", "would publish"), date(new.nbf));
        lines.push(format!("{published} a new {} key, which signs from {from}", new.algorithm));
    }
    for (kid, exp) in &step.expire {
        lines.push(format!("{kid} {} visible until {}", verb("stays", "would stay"), date(*exp)));
    }
    for kid in &step.drop {
        lines.push(format!("{kid} {} the set; it has been out of sight", verb("left", "would leave")));
    }
    if lines.is_empty() {
        let reason = waiting.map(|KeyLife { kid, algorithm, nbf, .. }| {
            format!(": {kid} ({algorithm}) is published already, and signs from {}", date(*nbf))
        });
        lines.push(format!("nothing to do{}", reason.unwrap_or_default()));
    }
    if let Some(next) = step.next_look {
        lines.push(format!("nothing changes before {}", date(next)));
    }
    lines
}
