//! A third-party platform keeps this: its ticket, and who has let it act for them. Every replica follows it.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use wxmint_ids::AppId;

use super::Result;

/// How old a push may be that is believed, or how far ahead of our clock.
pub const PUSH_BELIEVED: Duration = Duration::from_secs(10 * 60);
/// How long a push is remembered, so that it changes nothing when it comes again.
pub const PUSH_REMEMBERED: Duration = Duration::from_secs(2 * PUSH_BELIEVED.as_secs());

/// An entry of what is known of a platform, sealed where it is secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformEntry {
    /// In which second, by WeChat's clock, it was so. A later one replaces it.
    pub at: i64,
    pub value: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
pub struct Note<'a> {
    /// The entry that it is about: letters, digits and colons.
    pub entry: &'a str,
    pub new: &'a PlatformEntry,
    pub expected: Expected<'a>,
    /// The digest of the push that has said it.
    pub push: Option<&'a str>,
}

/// The state of the entry that must be known, or the note is late.
#[derive(Debug, Clone, Copy)]
pub enum Expected<'a> {
    /// Nothing that is later.
    NotLater,
    Nothing,
    This(&'a PlatformEntry),
}

impl<'a> From<Option<&'a PlatformEntry>> for Expected<'a> {
    fn from(known: Option<&'a PlatformEntry>) -> Self {
        known.map_or(Self::Nothing, Self::This)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    Kept,
    /// The push was noted before.
    Seen,
    /// Something later is known, or it is not what was expected.
    Late,
}

/// All that is known, by entry, and a number that each change raises.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlatformState {
    pub version: u64,
    pub entries: BTreeMap<String, PlatformEntry>,
}

#[async_trait(?Send)]
pub trait Platforms {
    /// Notes an entry, once every replica that could take over has it.
    async fn note_entry(&self, platform: &AppId, note: &Note<'_>) -> Result<Noted>;

    /// `None` if the version is this one.
    async fn entries(&self, platform: &AppId, version: u64) -> Result<Option<PlatformState>>;
}
