//! The cursors of the feed: a place in the stream, and a MAC, so that an invented cursor costs Redis nothing.

use chrono::{DateTime, TimeDelta, Utc};
use wxmint_keys::vault::Vault;

/// The cursor of a place in the stream. The beginning of an empty stream has none.
pub(in super::super) fn for_place(place: &str, vault: &Vault) -> String {
    if place.is_empty() { String::new() } else { format!("{place}.{mac}", mac = vault.mac(&labelled(place))) }
}

/// The place that a cursor names; `None` if this service has not made the cursor.
pub(in super::super) fn place<'a>(cursor: &'a str, vault: &Vault) -> Option<&'a str> {
    let (place, mac) = cursor.rsplit_once('.')?;
    vault.has_made(mac, &labelled(place)).then_some(place)
}

/// The cursor itself, or the one of the first page if this service has not made it.
pub(in super::super) fn known<'a>(cursor: &'a str, vault: &Vault) -> &'a str {
    place(cursor, vault).map_or("", |_| cursor)
}

/// Whether the end that the cursor names was written within `span` before `now`. In Redis the name of a place begins
/// with its milliseconds since 1970. (The store in memory has numbers there, which are too small.)
pub(in super::super) fn is_from_within(cursor: &str, span: TimeDelta, now: DateTime<Utc>) -> bool {
    let written = cursor.split_once('-').and_then(|(millis, _)| millis.parse().ok());
    written.and_then(DateTime::from_timestamp_millis).is_some_and(|written| now - written <= span)
}

/// The vault makes MACs of other things too.
fn labelled(place: &str) -> String {
    format!("a cursor of the revocation feed: {place}")
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
        let cursor = for_place("1795000000000-0.AAAAAAAA", &vault(1));
        assert_eq!(place(&cursor, &vault(1)), Some("1795000000000-0.AAAAAAAA"));
        assert_eq!(place(&cursor, &vault(2)), None);
        let earlier = cursor.replacen("1795", "1794", 1);
        for unknown in ["", ".", "1795000000000-0.AAAAAAAA", &cursor[1..], &earlier] {
            assert_eq!(place(unknown, &vault(1)), None, "{unknown}");
        }
        assert_eq!(for_place("", &vault(1)), "", "an empty stream");
    }

    #[test]
    fn a_cursor_tells_when_its_end_was_written() {
        let (now, minute) =
            (DateTime::from_timestamp_millis(1_795_000_060_000).expect("a time"), TimeDelta::minutes(1));
        let is_recent = |cursor| is_from_within(cursor, minute, now);
        assert!(is_recent("1795000000000-0.AAAAAAAA.x") && !is_recent("1794999999999-0.AAAAAAAA.x"));
        assert!(!is_recent("17.x") && !is_recent(""));
    }
}
