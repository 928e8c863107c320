//! Tables for the planning of rotations.

use super::*;

const DAY: i64 = 86_400;
const LEAD: i64 = 1_800;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

fn policy() -> RotationPolicy {
    RotationPolicy {
        every: TimeDelta::days(30),
        lead: TimeDelta::seconds(LEAD),
        token_ttl: TimeDelta::days(1),
        algorithm: Algorithm::Es256,
    }
}

fn plan(
    lives: &[KeyLife],
    policy: &RotationPolicy,
    now: DateTime<Utc>,
) -> Result<RotationStep, Refusal> {
    super::plan(lives, policy, now, false)
}

fn due_at_once(
    lives: &[KeyLife],
    policy: &RotationPolicy,
    now: DateTime<Utc>,
) -> Result<RotationStep, Refusal> {
    super::plan(lives, policy, now, true)
}

fn key(kid: &str, nbf: i64, exp: Option<i64>) -> KeyLife {
    KeyLife {
        kid: kid.into(),
        algorithm: Algorithm::Es256,
        nbf: at(nbf),
        exp: exp.map(at),
    }
}

/// The keys after a step has been carried out.
fn after(lives: &[KeyLife], step: &RotationStep) -> Vec<KeyLife> {
    let mut lives: Vec<_> = lives
        .iter()
        .filter(|life| !step.drop.contains(&life.kid))
        .cloned()
        .collect();
    for (kid, exp) in &step.expire {
        lives
            .iter_mut()
            .filter(|life| life.kid == *kid)
            .for_each(|life| life.exp = Some(*exp));
    }
    lives.extend(step.publish.map(|(algorithm, nbf)| KeyLife {
        kid: format!("new-{}", nbf.timestamp()),
        algorithm,
        nbf,
        exp: None,
    }));
    lives
}

fn is_nothing(step: &RotationStep) -> bool {
    step.drop.is_empty() && step.expire.is_empty() && step.publish.is_none()
}

#[test]
fn a_key_that_expires_without_a_successor_gets_one_at_once_and_signs_until_then() {
    let lives = [key("a", 0, Some(5 * DAY))];
    let untouched = plan(&[key("a", 0, None)], &policy(), at(DAY)).expect("a plan");
    assert_eq!(untouched.publish, None);
    for now in [DAY, 6 * DAY] {
        let step = plan(&lives, &policy(), at(now)).expect("a plan");
        let next = (Algorithm::Es256, at(now + LEAD));
        assert_eq!((step.publish, step.next_look), (Some(next), Some(at(now))));
        assert!(
            after(&lives, &step)[0]
                .exp
                .is_some_and(|exp| exp > at(now + LEAD + DAY)),
            "{step:?}"
        );
    }
}

#[test]
fn the_next_key_is_published_one_lead_before_the_old_keys_term_ends_and_not_sooner() {
    let lives = [key("a", 0, None)];
    let due = 30 * DAY - LEAD;
    let early = plan(&lives, &policy(), at(due - 1)).expect("a plan");
    assert_eq!(
        early,
        RotationStep {
            next_look: Some(at(due)),
            ..RotationStep::default()
        }
    );
    let step = plan(&lives, &policy(), at(due)).expect("a plan");
    let publication = (Algorithm::Es256, at(30 * DAY));
    assert_eq!(step.publish, Some(publication));
    assert_eq!(
        step.expire,
        [("a".into(), at(31 * DAY + 120))],
        "its last token, leeway and skew"
    );
}

#[test]
fn rounding_to_whole_seconds_never_shortens_the_lead() {
    let now = at(90 * DAY) + TimeDelta::nanoseconds(1);
    let step = plan(&[key("a", 0, None)], &policy(), now).expect("a plan");
    assert_eq!(step.publish.expect("a key").1, at(90 * DAY + LEAD + 1));
}

#[test]
fn a_rotator_that_slept_still_gives_verifiers_a_whole_lead() {
    let step = plan(&[key("a", 0, None)], &policy(), at(90 * DAY)).expect("a plan");
    assert_eq!(step.publish.expect("a key").1, at(90 * DAY + LEAD));
}

#[test]
fn running_a_rotation_twice_changes_nothing_more() {
    let mut lives = vec![key("a", 0, None)];
    for now in (0..200 * DAY).step_by(40_000).map(at) {
        let step = plan(&lives, &policy(), now).expect("a plan");
        lives = after(&lives, &step);
        assert!(
            is_nothing(&plan(&lives, &policy(), now).expect("a plan")),
            "at {now}"
        );
        let signing = states(&lives, now)
            .iter()
            .filter(|state| **state == KeyState::Signing)
            .count();
        assert_eq!(signing, 1, "at {now}: {lives:?}");
    }
    assert!(lives.len() <= 3, "gone keys leave the file: {lives:?}");
}

#[test]
fn a_rotation_at_once_publishes_a_key_that_signs_after_the_lead_and_then_nothing_until_it_signs() {
    let step = due_at_once(&[key("a", 0, None)], &policy(), at(DAY)).expect("a plan");
    let publication = (Algorithm::Es256, at(DAY + LEAD));
    assert_eq!(step.publish, Some(publication));
    assert_eq!(step.expire, [("a".into(), at(2 * DAY + LEAD + 120))]);
    let lives = after(&[key("a", 0, None)], &step);
    for now in [DAY, DAY + LEAD - 1] {
        assert!(
            is_nothing(&due_at_once(&lives, &policy(), at(now)).expect("a plan")),
            "at {now}"
        );
    }
    assert!(
        due_at_once(&lives, &policy(), at(DAY + LEAD))
            .expect("a plan")
            .publish
            .is_some(),
        "it signs"
    );
    let short = RotationPolicy {
        every: TimeDelta::minutes(20),
        ..policy()
    };
    assert!(
        due_at_once(&lives, &short, at(DAY)).is_err(),
        "the policy is checked all the same"
    );
}

#[test]
fn another_algorithm_starts_a_rotation_at_once() {
    let policy = RotationPolicy {
        algorithm: Algorithm::EdDsa,
        ..policy()
    };
    let step = plan(&[key("a", 0, None)], &policy, at(DAY)).expect("a plan");
    assert_eq!(step.publish, Some((Algorithm::EdDsa, at(DAY + LEAD))));
}

#[test]
fn another_algorithm_waits_until_the_published_key_signs() {
    let (policy, lives) = (
        RotationPolicy {
            algorithm: Algorithm::EdDsa,
            ..policy()
        },
        [key("a", 0, None), key("b", DAY, None)],
    );
    let waits = plan(&lives, &policy, at(DAY - 1)).expect("a plan");
    assert_eq!((waits.publish, waits.next_look), (None, Some(at(DAY))));
    assert!(
        plan(&lives, &policy, at(DAY))
            .expect("a plan")
            .publish
            .is_some(),
        "as it was said"
    );
}

#[test]
fn a_clock_that_jumps_back_changes_nothing() {
    let lives = [key("a", 0, Some(40 * DAY)), key("b", 30 * DAY, None)];
    let step = plan(&lives, &policy(), at(29 * DAY)).expect("a plan");
    assert!(is_nothing(&step), "{step:?}");
    assert_eq!(
        states(&lives, at(29 * DAY)),
        [KeyState::Signing, KeyState::Published]
    );
}

#[test]
fn an_exp_that_is_too_early_is_postponed_and_a_later_one_stays() {
    let early = [key("a", 0, Some(30 * DAY + 5)), key("b", 30 * DAY, None)];
    for now in [30 * DAY, 30 * DAY + 5 + LEAD] {
        let step = plan(&early, &policy(), at(now)).expect("a plan");
        assert_eq!(
            (step.expire, step.drop),
            (vec![("a".into(), at(31 * DAY + 120))], vec![]),
            "at {now}"
        );
    }
    let late = [key("a", 0, Some(50 * DAY)), key("b", 30 * DAY, None)];
    assert!(is_nothing(
        &plan(&late, &policy(), at(31 * DAY)).expect("a plan")
    ));
}

#[test]
fn a_key_leaves_the_file_one_lead_after_it_has_left_the_jwks() {
    let lives = [key("a", 0, Some(31 * DAY + 120)), key("b", 30 * DAY, None)];
    let gone = 31 * DAY + 120 + LEAD;
    assert!(is_nothing(
        &plan(&lives, &policy(), at(gone - 1)).expect("a plan")
    ));
    assert_eq!(
        plan(&lives, &policy(), at(gone)).expect("a plan").drop,
        ["a"]
    );
}

#[test]
fn a_policy_that_contradicts_itself_is_refused() {
    let short = RotationPolicy {
        every: TimeDelta::minutes(20),
        ..policy()
    };
    assert_eq!(
        plan(&[], &short, at(0)),
        Err(Refusal::EveryWithinLead {
            every: 1_200,
            lead: 1_800
        })
    );
}

#[test]
fn without_an_emergency_a_key_is_not_removed_and_the_error_says_when_it_can_be() {
    let lives = [key("old", 0, Some(40 * DAY)), key("now", 10, None)];
    let earliest = "1970-02-10T00:00:00Z".to_owned();
    assert_eq!(
        refuse_removal(&lives, "old"),
        Refusal::TokensLive {
            kid: "old".into(),
            earliest
        }
    );
    assert_eq!(
        refuse_removal(&lives, "now"),
        Refusal::NoSuccessor("now".into())
    );
    assert_eq!(
        refuse_removal(&lives, "none"),
        Refusal::UnknownKey("none".into())
    );
}

#[test]
fn an_emergency_retirement_names_the_key_that_signs_afterwards() {
    let lives = [
        key("old", 0, Some(40 * DAY)),
        key("now", 10, None),
        key("next", 50 * DAY, None),
    ];
    let retire = |lives: &[KeyLife], kid: &str| retire(lives, kid, at(DAY));
    let (begins, released) = (at(DAY - 60), None);
    let promoted = Successor::Promoted("next".into());
    assert_eq!(
        retire(&lives, "now"),
        Ok(Retirement {
            state: KeyState::Signing,
            successor: promoted,
            begins,
            released: None
        })
    );
    assert_eq!(
        retire(&lives[..2], "now"),
        Ok(Retirement {
            state: KeyState::Signing,
            successor: Successor::New(Algorithm::Es256),
            begins,
            released: None
        })
    );
    assert_eq!(
        retire(&lives, "old"),
        Ok(Retirement {
            state: KeyState::Retired,
            successor: Successor::Unchanged,
            begins,
            released
        })
    );
    assert_eq!(
        retire(&lives, "none"),
        Err(Refusal::UnknownKey("none".into()))
    );
}

#[test]
fn a_key_that_the_set_lacks_is_ended_too_and_another_one_signs_only_if_none_does() {
    let kid = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
    let retire = |lives: &[KeyLife]| {
        retire(lives, kid, at(DAY)).map(|found| (found.successor, found.begins))
    };
    let begins = at(DAY - 60);
    assert_eq!(
        retire(&[key("now", 10, None)]),
        Ok((Successor::Unchanged, begins))
    );
    assert_eq!(
        retire(&[key("next", 2 * DAY, None)]),
        Ok((Successor::Promoted("next".into()), begins))
    );
    assert_eq!(retire(&[]), Ok((Successor::New(Algorithm::Es256), begins)));
    let gone = KeyLife {
        algorithm: Algorithm::EdDsa,
        ..key("gone", DAY - 9, Some(DAY))
    };
    assert_eq!(
        retire(&[gone]),
        Ok((Successor::New(Algorithm::EdDsa), at(DAY - 8)))
    );
    let state = super::retire(&[key("now", 10, None)], kid, at(DAY))
        .expect("known")
        .state;
    assert_eq!(state, KeyState::Gone);
    for mistyped in [&kid[1..], "", "now2"] {
        assert!(super::retire(&[], mistyped, at(DAY)).is_err(), "{mistyped}");
    }
}

#[test]
fn a_key_whose_successor_is_retired_loses_its_exp() {
    let lives = [key("now", 0, Some(2 * DAY)), key("next", DAY + LEAD, None)];
    assert_eq!(
        retire(&lives, "next", at(DAY)).expect("known").released,
        Some("now".into())
    );
}

#[test]
fn an_emergency_key_begins_after_the_previous_key_and_early_enough_for_a_slow_clock() {
    let lives = [key("old", DAY - 30, None), key("now", DAY - 10, None)];
    assert_eq!(
        retire(&lives, "now", at(DAY)).expect("known").begins,
        at(DAY - 29)
    );
}
