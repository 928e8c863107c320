//! `wxmint vault list`

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::Path,
};

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::{Failure, check, date, now, open, print, read, say, walk_all};
use crate::{
    commands::output,
    store::walk::{SealedAt, What},
    vault::{KeyId, KeyState, Vault, VaultLine},
};

/// For this long after a new key begins to encrypt, the previous key may still be used, because clocks differ, replicas
/// read the file every two seconds, and a login may be under way.
const AFTERMATH: TimeDelta = TimeDelta::minutes(5);

const ADVICE: &str = "A line may be removed at the time shown; run this again before you do. If you remove it too early, \
    the session keys under it are lost, and their owners must log in again. Bindings need no vault key (docs/vault.md).";

const MISSING: &str = "Session keys under a missing key cannot be decrypted; their owners must log in again. If the \
    key should be in the file, this is not the file that the replicas have.";

pub(super) async fn run(path: &Path, as_json: bool) -> Result<(), Failure> {
    let redis = open()?;
    let (_, vault) = read(path)?;
    check(&redis).await?;
    let mut tally = Tally::default();
    let add = async |found| {
        tally.add(&found, now());
        Ok(())
    };
    walk_all(async |place| redis.walk_sealed(place).await, add).await?;
    let rows = rows(&vault, tally, now());
    if as_json {
        print(output::json(&rows));
        return Ok(());
    }
    output::table(&COLUMNS, &rows).into_iter().for_each(print);
    say(ADVICE);
    if rows.iter().any(|row| row.state == "missing") {
        say(MISSING);
    }
    Ok(())
}

/// When the last value under a key expires, in ascending order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Until {
    #[default]
    Past,
    At(DateTime<Utc>),
    Forever,
}

/// The values under one vault key.
#[derive(Default)]
struct Under {
    counts: BTreeMap<What, u64>,
    until: Until,
}

#[derive(Default)]
struct Tally {
    /// Half of a digest of each key of Redis, because SCAN may return a key twice.
    seen: HashSet<[u8; 16]>,
    under: HashMap<Option<KeyId>, Under>,
}

impl Tally {
    fn add(&mut self, found: &SealedAt, now: DateTime<Utc>) {
        let whole = digest(&SHA256, found.name.as_bytes());
        let mark = whole.as_ref().first_chunk().copied().unwrap_or_default();
        if !self.seen.insert(mark) {
            return;
        }
        for sealed in &found.sealed {
            let under = self.under.entry(sealed.key).or_default();
            *under.counts.entry(sealed.what).or_default() += 1;
            let until = sealed.life.map_or(Until::Forever, |life| Until::At(now + life));
            under.until = under.until.max(until);
        }
    }
}

/// A line of the file, or a key that is missing there.
#[derive(Serialize)]
#[cfg_attr(test, derive(Debug, PartialEq))]
struct Row {
    line: Option<usize>,
    key: Option<String>,
    state: &'static str,
    seals_from: Option<String>,
    current: u64,
    previous: u64,
    access_tokens: u64,
    /// `None` if the line must stay.
    removable_from: Option<String>,
}

/// The headings, each with the member of a row that stands below it.
const COLUMNS: [(&str, &str); 8] = [
    ("line", "line"),
    ("key", "key"),
    ("state", "state"),
    ("seals from", "seals_from"),
    ("session keys", "current"),
    ("previous ones", "previous"),
    ("access tokens", "access_tokens"),
    ("may be removed", "removable_from"),
];

fn rows(vault: &Vault, mut tally: Tally, now: DateTime<Utc>) -> Vec<Row> {
    let settled = settled(vault).max(Some(now)).unwrap_or(now);
    let line = |line: VaultLine| {
        let under = tally.under.remove(&Some(line.id)).unwrap_or_default();
        let removable_from = removable_from(line.state, under.until, settled).map(date);
        let seals_from = line.seals_from.map(date);
        Row { line: Some(line.number), seals_from, removable_from, ..Row::of(Some(line.id), name(line.state), &under) }
    };
    let mut rows: Vec<Row> = vault.lines().map(line).collect();
    let mut missing: Vec<Row> = tally.under.iter().map(|(key, under)| Row::of(*key, "missing", under)).collect();
    missing.sort_by(|one, other| one.key.cmp(&other.key));
    rows.append(&mut missing);
    rows
}

/// From then on nothing new is encrypted under the previous keys.
fn settled(vault: &Vault) -> Option<DateTime<Utc>> {
    let sealing = vault.lines().find(|line| line.state == KeyState::Seals)?;
    sealing.seals_from?.checked_add_signed(AFTERMATH)
}

fn removable_from(state: KeyState, until: Until, settled: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match (state, until) {
        (KeyState::Waits | KeyState::Seals, _) | (_, Until::Forever) => None,
        (KeyState::Opens, Until::Past) => Some(settled),
        (KeyState::Opens, Until::At(until)) => Some(settled.max(until)),
    }
}

fn name(state: KeyState) -> &'static str {
    match state {
        KeyState::Waits => "waits",
        KeyState::Seals => "seals",
        KeyState::Opens => "opens",
    }
}

impl Row {
    fn of(key: Option<KeyId>, state: &'static str, under: &Under) -> Self {
        let count = |what| under.counts.get(&what).copied().unwrap_or_default();
        Self {
            line: None,
            key: key.map(|key| key.to_string()),
            state,
            seals_from: None,
            current: count(What::Current),
            previous: count(What::Previous),
            access_tokens: count(What::AccessToken),
            removable_from: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base64::{Engine, engine::general_purpose::STANDARD};

    use super::*;
    use crate::store::walk::SealedUnder;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    /// Line 1 seals from minute 100 on; line 2 sealed before.
    fn vault(now: i64) -> Vault {
        let [new, old] = [2, 1].map(|byte| STANDARD.encode([byte; 32]));
        Vault::parse(format!("{new} {}\n{old}", date(at(100))).as_bytes()).expect("a vault").at(at(now))
    }

    fn found(name: &str, key: Option<KeyId>, what: What, life: Option<u64>) -> SealedAt {
        let life = life.map(|minutes| Duration::from_secs(minutes * 60));
        SealedAt { name: name.into(), sealed: vec![SealedUnder { what, key, life }] }
    }

    #[test]
    fn a_line_may_go_when_the_last_under_it_has_expired_and_nothing_comes_under_it_any_more() {
        let old = vault(0).lines().last().map(|line| line.id);
        let state_and_time = |now, lives: &[Option<u64>]| {
            let mut tally = Tally::default();
            for (index, life) in lives.iter().enumerate() {
                tally.add(&found(&index.to_string(), old, What::Current, *life), at(now));
            }
            let row = rows(&vault(now), tally, at(now)).pop().expect("two lines");
            (row.state, row.removable_from, row.current)
        };
        assert_eq!(state_and_time(99, &[]), ("seals", None, 0));
        assert_eq!(state_and_time(101, &[]), ("opens", Some(date(at(105))), 0));
        assert_eq!(state_and_time(101, &[Some(2)]), ("opens", Some(date(at(105))), 1));
        assert_eq!(state_and_time(101, &[Some(60), Some(2)]), ("opens", Some(date(at(161))), 2));
        assert_eq!(state_and_time(200, &[]), ("opens", Some(date(at(200))), 0));
        assert_eq!(state_and_time(200, &[Some(2), None]), ("opens", None, 2));
    }

    #[test]
    fn everything_is_counted_once_under_its_key_and_a_missing_key_is_a_row_of_its_own() {
        let [new, old] = [0, 1].map(|index| vault(0).lines().nth(index).map(|line| line.id));
        let stranger = Vault::parse(STANDARD.encode([9; 32]).as_bytes()).expect("a vault").lines().next();
        let mut tally = Tally::default();
        for (name, key, what) in [
            ("a", new, What::Current),
            ("a", new, What::Current),
            ("b", old, What::Previous),
            ("c", new, What::AccessToken),
            ("d", stranger.map(|line| line.id), What::Current),
            ("e", None, What::Current),
        ] {
            tally.add(&found(name, key, what, Some(1)), at(0));
        }
        let rows = rows(&vault(0), tally, at(0));
        let counts = rows.iter().map(|row| (row.line, row.state, row.current, row.previous, row.access_tokens));
        let expected = [
            (Some(1), "waits", 1, 0, 1),
            (Some(2), "seals", 0, 1, 0),
            (None, "missing", 1, 0, 0),
            (None, "missing", 1, 0, 0),
        ];
        assert_eq!(counts.collect::<Vec<_>>(), expected);
        assert!(rows[2].key.is_none() && rows[3].key.is_some(), "{rows:?}");
    }
}
