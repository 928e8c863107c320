//! A cursor of the revocation feed: a place in the stream, and a MAC, so that an invented cursor
//! costs Redis nothing.

use std::time::Duration;

use chrono::{DateTime, Utc};
use wxmint_keys::vault::Vault;

/// The greatest age of a revocation that a recent cursor names. Verifiers ask every 5 s.
pub(super) const RECENT: Duration = Duration::from_mins(1);
/// Marks a cursor at the end of a page that readers share. No place has this character in its name.
const SHARED: char = '~';

/// When a revocation was put into the stream, in milliseconds since 1970, and its number among
/// those of that time.
pub(super) type StreamId = (u64, u64);

/// Names the revocation after which a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor<'a> {
    /// The store's name of the place.
    pub(super) place: &'a str,
    /// Whether a page that no longer changes ends at the place, and the next page begins there for
    /// every reader. Otherwise the stream ended there when the page was made.
    pub(super) is_shared: bool,
}

impl<'a> Cursor<'a> {
    /// `None` if this service has not made the cursor.
    pub(super) fn read(text: &'a str, vault: &Vault) -> Option<Self> {
        let (named, mac) = text.rsplit_once('.')?;
        if !vault.has_made(mac, &labelled(named)) {
            return None;
        }
        let place = named.strip_suffix(SHARED);
        Some(Self {
            place: place.unwrap_or(named),
            is_shared: place.is_some(),
        })
    }

    /// The cursor as text; empty for the beginning of an empty stream.
    pub(super) fn write(self, vault: &Vault) -> String {
        if self.place.is_empty() {
            return String::new();
        }
        let mut named = self.place.to_owned();
        if self.is_shared {
            named.push(SHARED);
        }
        let mac = vault.mac(&labelled(&named));
        format!("{named}.{mac}")
    }

    /// The stream id with which Redis' name of the place begins; `None` in the store in memory.
    pub(super) fn id(&self) -> Option<StreamId> {
        let (millis, rest) = self.place.split_once('-')?;
        let (number, _) = rest.split_once('.')?;
        Some((millis.parse().ok()?, number.parse().ok()?))
    }

    /// Whether the revocation was written within [`RECENT`] before `now`. No revocation of the
    /// store in memory is recent, because that store counts from 1.
    pub(super) fn is_recent(&self, now: DateTime<Utc>) -> bool {
        let millis = self.id().and_then(|(millis, _)| i64::try_from(millis).ok());
        millis
            .and_then(DateTime::from_timestamp_millis)
            .is_some_and(|written| now - RECENT <= written)
    }
}

/// The text that the MAC authenticates. It has a label, because the vault makes MACs of other texts
/// too.
fn labelled(named: &str) -> String {
    format!("a cursor of the revocation feed: {named}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(byte: u8) -> Vault {
        use base64::{Engine, engine::general_purpose::STANDARD};
        Vault::parse((STANDARD.encode([byte; 32]) + "\n").as_bytes()).expect("a vault")
    }

    #[test]
    fn a_cursor_names_its_place_and_one_that_was_not_made_here_names_none() {
        let place = "1795000000000-7.AAAAAAAA";
        for is_shared in [false, true] {
            let cursor = Cursor { place, is_shared };
            let text = cursor.write(&vault(1));
            assert_eq!(Cursor::read(&text, &vault(1)), Some(cursor));
            assert_eq!(Cursor::read(&text, &vault(2)), None);
            let (earlier, bare) = (
                text.replacen("1795", "1794", 1),
                text.replacen(SHARED, "", 1),
            );
            for unknown in ["", ".", place, &text[1..], &earlier] {
                assert_eq!(Cursor::read(unknown, &vault(1)), None, "{unknown}");
            }
            assert_eq!(
                Cursor::read(&bare, &vault(1)).is_some(),
                !is_shared,
                "the mark is of the MAC's text"
            );
        }
        assert_eq!(
            Cursor {
                place: "",
                is_shared: false
            }
            .write(&vault(1)),
            "",
            "an empty stream"
        );
    }

    #[test]
    fn a_cursor_tells_when_its_revocation_was_written() {
        let now = DateTime::from_timestamp_millis(1_795_000_060_000).expect("a time");
        let cursor = |place| Cursor {
            place,
            is_shared: false,
        };
        assert_eq!(
            cursor("1795000000000-7.AAAAAAAA").id(),
            Some((1_795_000_000_000, 7))
        );
        assert!(cursor("1795000000000-0.AAAAAAAA").is_recent(now));
        assert!(!cursor("1794999999999-0.AAAAAAAA").is_recent(now));
        assert!(!cursor("17").is_recent(now) && !cursor("17-0.AAAAAAAA").is_recent(now));
    }
}
