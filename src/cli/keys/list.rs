//! `wxmint keys list`

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{Failure, date, place::KeysPlace, print};
use crate::{
    clock::now,
    keys::{
        EndedKey,
        rotation::{self, KeyLife, KeyState},
    },
};

/// Columns of the timeline.
const WIDTH: i64 = 40;

pub(super) fn run(place: &KeysPlace, as_json: bool) -> Result<(), Failure> {
    let keys = place.read()?;
    let lives = keys.lives().map_err(|error| Failure::from(error).at(place))?;
    let now = now();
    if as_json {
        print(machine_readable(&lives, keys.ended(), now));
        return Ok(());
    }
    table(&lives, now).into_iter().for_each(print);
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
            "state": state.name(),
            "nbf": date(life.nbf),
            "signs_until": signs_until(lives, index).map(date),
            "exp": life.exp.map(date),
        })
    };
    let end = |key: &EndedKey| json!({"kid": key.kid, "state": "ended", "ended": date(key.at())});
    let keys = lives.iter().zip(rotation::states(lives, now)).enumerate().map(row);
    keys.chain(ended.iter().map(end)).collect()
}

fn table(lives: &[KeyLife], now: DateTime<Utc>) -> Vec<String> {
    let states = rotation::states(lives, now);
    let timeline = Timeline::over(lives, now);
    let mut lines = Vec::new();
    for (index, (life, state)) in lives.iter().zip(&states).enumerate() {
        lines.push(format!("{}  {}  {}", life.kid, life.algorithm, state.name()));
        lines.push(format!("    {}", in_words(lives, index, *state)));
        lines.push(format!("    {}", timeline.draw(lives, index)));
    }
    lines.push(format!("    {}  {}", timeline.pointer(now), date(now)));
    lines.push("    · published   █ signs   ░ retired, still visible".into());
    lines
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

/// A span of time, drawn in columns.
struct Timeline {
    from: i64,
    to: i64,
}

impl Timeline {
    fn over(lives: &[KeyLife], now: DateTime<Utc>) -> Self {
        let times = lives.iter().flat_map(|life| [Some(life.nbf), life.exp]).flatten().chain([now]);
        let seconds: Vec<i64> = times.map(|at| at.timestamp()).collect();
        let (from, to) = (seconds.iter().min().copied().unwrap_or(0), seconds.iter().max().copied().unwrap_or(0));
        Self { from, to: to.max(from + 1) }
    }

    fn column(&self, at: DateTime<Utc>) -> i64 {
        (at.timestamp() - self.from) * (WIDTH - 1) / (self.to - self.from)
    }

    fn draw(&self, lives: &[KeyLife], index: usize) -> String {
        let life = &lives[index];
        let signs = self.column(life.nbf);
        let retires = signs_until(lives, index).map_or(WIDTH, |at| self.column(at));
        let goes = life.exp.map_or(WIDTH, |at| self.column(at));
        let mark = |column: i64| match () {
            () if column > goes => ' ',
            () if column < signs => '·',
            () if column < retires => '█',
            () => '░',
        };
        (0..WIDTH).map(mark).collect()
    }

    fn pointer(&self, now: DateTime<Utc>) -> String {
        let column = usize::try_from(self.column(now)).unwrap_or(0);
        format!("{:column$}▲ now", "")
    }
}
