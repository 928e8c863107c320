//! A third-party platform keeps this: its ticket, and who has let it act for them. Every replica follows it.

use std::{collections::BTreeMap, sync::LazyLock, time::Duration};

use wxmint_ids::AppId;
use wxmint_redis_link::{Call, Script};
use wxmint_store::{Result, Store, unreadable};

/// How old a push may be that is believed, or how far ahead of our clock.
pub(super) const PUSH_BELIEVED: Duration = Duration::from_secs(10 * 60);
/// How long a push is remembered, so that it changes nothing when it comes again.
pub(super) const PUSH_REMEMBERED: Duration = Duration::from_secs(2 * PUSH_BELIEVED.as_secs());

/// An entry of what is known of a platform, sealed where it is secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlatformEntry {
    /// In which second, by WeChat's clock, it was so. A later one replaces it.
    pub(super) at: i64,
    pub(super) value: Vec<u8>,
}

/// The state of an entry that must be known, or nothing is noted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Expected<'a> {
    /// Nothing that is later.
    NotLater,
    /// This, or nothing at all.
    This(Option<&'a PlatformEntry>),
    /// Nothing that is later, and not this.
    Other(&'a PlatformEntry),
}

/// All that is known, by entry, and a number that each change raises.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PlatformState {
    pub(super) version: u64,
    pub(super) entries: BTreeMap<String, PlatformEntry>,
}

/// A hash for each platform. A field for each entry has the second, by WeChat's clock, since which it holds, a blank,
/// and the value; `known.rs` says which entries there are. Each change raises the field `v`.
static NOTE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("store/note_entry.lua")));

const VERSION: &str = "v";

fn key(platform: &AppId) -> String {
    format!("wxmint:{{platform:{platform}}}")
}

/// Notes an entry, whose name has letters, digits and colons, once every replica that could take over has it. Answers
/// whether it is kept now: something later may be known, or it is not what was expected, or `push`, the digest of the
/// push that has said it, was noted before.
pub(super) async fn note_entry(
    store: &Store,
    platform: &AppId,
    entry: &str,
    new: &PlatformEntry,
    expected: Expected<'_>,
    push: Option<&str>,
) -> Result<bool> {
    let key = key(platform);
    // A push that was noted has a key by its digest.
    let script = NOTE.on(&[&key, &format!("{key}:push:{}", push.unwrap_or_default())]);
    let expected = match expected {
        Expected::NotLater => Vec::new(),
        Expected::This(known) => known.map_or_else(|| b"nothing".to_vec(), written),
        Expected::Other(known) => [b"not ", &*written(known)].concat(),
    };
    let script = script.arg(entry).arg(new.at).arg(&new.value).arg(expected);
    let script = script.arg(push.map_or(0, |_| PUSH_REMEMBERED.as_secs()));
    Ok(store.link.run_confirmed("note_entry", script).await?)
}

/// `None` if the version is this one.
pub(super) async fn entries(store: &Store, platform: &AppId, version: u64) -> Result<Option<PlatformState>> {
    let (link, key) = (&store.link, key(platform));
    let now: Option<u64> = link.run("entries", Call::of("HGET", &key).arg(VERSION)).await?;
    if now.unwrap_or_default() == version {
        return Ok(None);
    }
    let mut fields: BTreeMap<String, Vec<u8>> = link.run("entries", Call::of("HGETALL", &key)).await?;
    // Without it, all was lost.
    let version = fields.remove(VERSION).map_or(Some(0), |number| str::from_utf8(&number).ok()?.parse().ok());
    let version = version.ok_or_else(|| unreadable("the state of a platform"))?;
    // A field that cannot be read is left out, so that one merchant's is not everybody's.
    let entries = fields.into_iter().filter_map(|(entry, held)| Some((entry, read(&held)?))).collect();
    Ok(Some(PlatformState { version, entries }))
}

fn written(entry: &PlatformEntry) -> Vec<u8> {
    [entry.at.to_string().as_bytes(), b" ", &entry.value].concat()
}

fn read(held: &[u8]) -> Option<PlatformEntry> {
    let blank = held.iter().position(|byte| *byte == b' ')?;
    Some(PlatformEntry { at: str::from_utf8(&held[..blank]).ok()?.parse().ok()?, value: held[blank + 1..].to_vec() })
}

#[cfg(test)]
mod conformance;
