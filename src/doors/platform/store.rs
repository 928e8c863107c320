//! The store of a third-party platform: its ticket, and the merchants that have authorised it.
//! Every replica follows it.

use std::{collections::BTreeMap, sync::LazyLock, time::Duration};

use wxmint_ids::AppId;
use wxmint_redis_link::{Call, Script};
use wxmint_store::{Result, Store, StoreError};

/// How old an accepted push may be, or how far ahead of our clock.
pub(super) const PUSH_BELIEVED: Duration = Duration::from_mins(10);
/// How long a push is remembered, so that a repeated push changes nothing.
pub(super) const PUSH_REMEMBERED: Duration = Duration::from_secs(2 * PUSH_BELIEVED.as_secs());

/// An entry in the state of a platform. Secret values are sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlatformEntry {
    /// Since when the entry holds, in seconds since 1970 by WeChat's clock. A later entry replaces
    /// it.
    pub(super) at: i64,
    pub(super) value: Vec<u8>,
}

/// The condition on the stored entry for a write to succeed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Expected<'a> {
    /// The stored entry is not later than the new entry.
    NotLater,
    /// The stored entry is this one, or with `None` there is none.
    This(Option<&'a PlatformEntry>),
    /// The stored entry is not later than the new entry, and is not this one.
    Other(&'a PlatformEntry),
}

/// All entries of a platform by name, and a version that grows with each change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PlatformState {
    pub(super) version: u64,
    pub(super) entries: BTreeMap<String, PlatformEntry>,
}

/// Writes to the Redis hash of a platform. The field of an entry holds the second since which the
/// entry is valid, by WeChat's clock, a blank, and the value; `known.rs` lists the entries. Each
/// change raises the field `v`.
static NOTE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("store/note_entry.lua")));

const VERSION: &str = "v";

fn key(platform: &AppId) -> String {
    format!("wxmint:{{platform:{platform}}}")
}

/// Writes an entry whose name has letters, digits and colons, and waits until every replica that
/// could take over has it. Returns whether the entry is stored. `false` if a later entry is stored,
/// if the stored entry is not as `expected`, or if the push with the digest `push` was handled
/// before.
pub(super) async fn note_entry(
    store: &Store,
    platform: &AppId,
    entry: &str,
    new: &PlatformEntry,
    expected: Expected<'_>,
    push: Option<&str>,
) -> Result<bool> {
    let key = key(platform);
    // Each handled push has a key with its digest.
    let script = NOTE.on(&[&key, &format!("{key}:push:{}", push.unwrap_or_default())]);
    let expected = match expected {
        Expected::NotLater => Vec::new(),
        Expected::This(None) => b"nothing".to_vec(),
        Expected::This(Some(known)) => written(known),
        Expected::Other(known) => [b"not ", &*written(known)].concat(),
    };
    let script = script.arg(entry).arg(new.at).arg(&new.value).arg(expected);
    let script = script.arg(push.map_or(0, |_| PUSH_REMEMBERED.as_secs()));
    Ok(store.link.run_confirmed("note_entry", script).await?)
}

/// Reads all entries of a platform; `None` if they still have this version.
pub(super) async fn entries(
    store: &Store,
    platform: &AppId,
    version: u64,
) -> Result<Option<PlatformState>> {
    let link = &store.link;
    let key = key(platform);
    let now: Option<u64> = link
        .run("entries", Call::of("HGET", &key).arg(VERSION))
        .await?;
    if now.unwrap_or_default() == version {
        return Ok(None);
    }
    let mut fields: BTreeMap<String, Vec<u8>> =
        link.run("entries", Call::of("HGETALL", &key)).await?;
    // Without the version, the store has lost everything.
    let version = fields
        .remove(VERSION)
        .map_or(Some(0), |number| str::from_utf8(&number).ok()?.parse().ok());
    let version = version.ok_or(StoreError::Damaged("the state of a platform"))?;
    // An unreadable field is left out, so that one merchant's field does not affect the other
    // merchants.
    let entries = fields
        .into_iter()
        .filter_map(|(entry, held)| Some((entry, read(&held)?)))
        .collect();
    Ok(Some(PlatformState { version, entries }))
}

fn written(entry: &PlatformEntry) -> Vec<u8> {
    [entry.at.to_string().as_bytes(), b" ", &entry.value].concat()
}

fn read(held: &[u8]) -> Option<PlatformEntry> {
    let blank = held.iter().position(|byte| *byte == b' ')?;
    Some(PlatformEntry {
        at: str::from_utf8(&held[..blank]).ok()?.parse().ok()?,
        value: held[blank + 1..].to_vec(),
    })
}

#[cfg(test)]
mod conformance;
