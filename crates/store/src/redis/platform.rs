//! The state of platforms in Redis, a hash for each: a field for each entry, and the version `v`.

use std::collections::BTreeMap;

use async_trait::async_trait;
use wxmint_ids::AppId;

use super::{Call, Redis, name, script, unreadable};
use crate::{Expected, Note, Noted, PUSH_REMEMBERED, PlatformEntry, PlatformState, Platforms, Result};

const VERSION: &str = "v";

#[async_trait(?Send)]
impl Platforms for Redis {
    async fn note_entry(&self, platform: &AppId, note: &Note<'_>) -> Result<Noted> {
        let Note { entry, new, expected, push } = *note;
        let script = script::NOTE.on(&[&name::platform(platform), &name::push(platform, push.unwrap_or_default())]);
        let expected = match expected {
            Expected::NotLater => Vec::new(),
            Expected::Nothing => b"nothing".to_vec(),
            Expected::This(known) => written(known),
        };
        let script = script.arg(entry).arg(new.at).arg(&new.value).arg(expected);
        let script = script.arg(push.map_or(0, |_| PUSH_REMEMBERED.as_secs()));
        let noted: String = self.link.run_confirmed("note_entry", script).await?;
        match noted.as_str() {
            "kept" => Ok(Noted::Kept),
            "seen" => Ok(Noted::Seen),
            _ => Ok(Noted::Late),
        }
    }

    async fn entries(&self, platform: &AppId, version: u64) -> Result<Option<PlatformState>> {
        let key = name::platform(platform);
        let now: Option<u64> = self.link.run("entries", Call::of("HGET", &key).arg(VERSION)).await?;
        if now.unwrap_or_default() == version {
            return Ok(None);
        }
        let mut fields: BTreeMap<String, Vec<u8>> = self.link.run("entries", Call::of("HGETALL", &key)).await?;
        // Without it, all was lost.
        let version = fields.remove(VERSION).map_or(Some(0), |number| str::from_utf8(&number).ok()?.parse().ok());
        let version = version.ok_or_else(|| unreadable("the state of a platform"))?;
        // A field that cannot be read is left out, so that one merchant's is not everybody's.
        let entries = fields.into_iter().filter_map(|(entry, held)| Some((entry, read(&held)?))).collect();
        Ok(Some(PlatformState { version, entries }))
    }
}

fn written(entry: &PlatformEntry) -> Vec<u8> {
    [entry.at.to_string().as_bytes(), b" ", &entry.value].concat()
}

fn read(held: &[u8]) -> Option<PlatformEntry> {
    let blank = held.iter().position(|byte| *byte == b' ')?;
    Some(PlatformEntry { at: str::from_utf8(&held[..blank]).ok()?.parse().ok()?, value: held[blank + 1..].to_vec() })
}
