//! The state of platforms in memory.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use wxmint_ids::AppId;

use super::Memory;
use crate::{Expected, Note, Noted, PUSH_REMEMBERED, PlatformState, Platforms, Result};

#[derive(Default)]
pub(super) struct Stored {
    state: PlatformState,
    /// Until when.
    pushes: Vec<(String, DateTime<Utc>)>,
}

#[async_trait(?Send)]
impl Platforms for Memory {
    async fn note_entry(&self, platform: &AppId, note: &Note<'_>) -> Result<Noted> {
        let (now, mut shelves) = self.open();
        let Stored { state, pushes } = shelves.platforms.entry(platform.clone()).or_default();
        pushes.retain(|(_, until)| *until > now);
        if let Some(push) = note.push {
            if pushes.iter().any(|(seen, _)| seen == push) {
                return Ok(Noted::Seen);
            }
            pushes.push((push.to_owned(), now + PUSH_REMEMBERED));
        }
        let held = state.entries.get(note.entry);
        let is_expected = match note.expected {
            Expected::NotLater => true,
            Expected::Nothing => held.is_none(),
            Expected::This(known) => held == Some(known),
        };
        if !is_expected || held.is_some_and(|held| held.at > note.new.at) {
            return Ok(Noted::Late);
        }
        state.entries.insert(note.entry.to_owned(), note.new.clone());
        state.version += 1;
        Ok(Noted::Kept)
    }

    async fn entries(&self, platform: &AppId, version: u64) -> Result<Option<PlatformState>> {
        let shelves = self.shelves();
        let state = shelves.platforms.get(platform).map(|stored| stored.state.clone()).unwrap_or_default();
        Ok(Some(state).filter(|state| state.version != version))
    }
}
