//! `wxmint keys list`

use chrono::{DateTime, Utc};
use serde_json::json;
use wxmint_keys::EndedKey;
use wxmint_keys::rotation::{self, KeyLife, KeyState};

use super::{Failure, date, place::KeysPlace, print};
use crate::clock::now;

pub(super) fn run(place: &KeysPlace, as_json: bool) -> Result<(), Failure> {
    let keys = place.read()?;
    let lives = keys.lives().map_err(|error| Failure::from(error).at(place))?;
    let now = now();
    if as_json {
        print(machine_readable(&lives, keys.ended(), now));
        return Ok(());
    }
    for (index, (life, state)) in lives.iter().zip(rotation::states(&lives, now)).enumerate() {
        print(format_args!("{}  {}  {state}", life.kid, life.algorithm));
        print(format_args!("    {}", in_words(&lives, index, state)));
    }
    for key in keys.ended() {
        print(format_args!("{}  ended", key.kid));
        print(format_args!("    retired at once on {}; verifiers refuse its tokens", date(key.at())));
    }
    Ok(())
}

/// A key stops signing at its successor's first signature.
fn signs_until(lives: &[KeyLife], index: usize) -> Option<DateTime<Utc>> {
    lives.get(index + 1).map(|next| next.nbf)
}

fn machine_readable(lives: &[KeyLife], ended: &[EndedKey], now: DateTime<Utc>) -> serde_json::Value {
    let row = |(index, (life, state)): (usize, (&KeyLife, KeyState))| {
        json!({
            "kid": life.kid,
            "alg": life.algorithm.name(),
            "state": state.to_string(),
            "nbf": date(life.nbf),
            "signs_until": signs_until(lives, index).map(date),
            "exp": life.exp.map(date),
        })
    };
    let end = |key: &EndedKey| json!({"kid": key.kid, "state": "ended", "ended": date(key.at())});
    let keys = lives.iter().zip(rotation::states(lives, now)).enumerate().map(row);
    keys.chain(ended.iter().map(end)).collect()
}

fn in_words(lives: &[KeyLife], index: usize, state: KeyState) -> String {
    let life = &lives[index];
    let (nbf, until) = (date(life.nbf), signs_until(lives, index).map(date));
    let exp = life.exp.map_or("it is replaced, and its last token has expired".into(), date);
    match (state, until) {
        (KeyState::Published, _) => format!("visible now, signs from {nbf}"),
        (KeyState::Signing, Some(until)) => format!("signs since {nbf} until {until}; visible until {exp}"),
        (KeyState::Signing, None) => format!("signs since {nbf}; no successor is published"),
        (KeyState::Retired, _) => format!("signed from {nbf}; visible until {exp}, for the tokens that it signed"),
        (KeyState::Gone, _) => format!("out of sight since {exp}; leaves the set with a later `keys rotate`"),
    }
}
