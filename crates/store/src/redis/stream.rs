//! The stream of ends, which verifiers read page by page.

use std::{collections::HashMap, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::DateTime;

use super::{Call, Redis, clocks::APART, ends::unless_ahead, flag, name, script, unreadable};
use crate::{Ended, ReadEnds, Result, ends::kept};

/// An entry of the stream: its id, its one field, and the end.
pub(super) type Entry = (String, (String, String));

/// A part of the stream, behind the second in which it was read, and how long ends had to be kept then.
type Part = (i64, Duration, Vec<Entry>);

impl Redis {
    pub(super) async fn stream_after(&self, cursor: &str, most: usize) -> Result<Option<ReadEnds>> {
        if cursor.is_empty() {
            let part = self.read_stream("ends_after", "-", "+", most + 1).await?;
            return self.page(part, cursor, most).map(Some);
        }
        let Some((id, _)) = cursor.split_once('.').filter(|(id, _)| is_stream_id(id)) else { return Ok(None) };
        // A cursor that is not in the stream costs next to nothing.
        let (_, _, named) = self.read_stream("ends_after", id, id, 1).await?;
        if named.first().is_none_or(|entry| cursor_of(entry) != cursor) {
            return Ok(None);
        }
        let (second, keep, mut entries) = self.read_stream("ends_after", id, "+", most + 2).await?;
        // It may have been trimmed meanwhile, or lost in a failover, and then the first entry is another one.
        if entries.first().is_none_or(|entry| cursor_of(entry) != cursor) {
            return Ok(None);
        }
        entries.remove(0);
        self.page((second, keep, entries), cursor, most).map(Some)
    }

    /// With a `note`, an end is put there once. Returns whether it was put there now.
    pub(super) async fn put_into_stream(&self, ended: &Ended, note: Option<String>, confirmed: bool) -> Result<bool> {
        let keys: Vec<&str> = [name::STREAM].into_iter().chain(note.as_deref()).collect();
        let script = script::PUBLISH_END.on(&keys).text(ended).arg((self.clock)().timestamp());
        let script = script.arg(APART.num_seconds()).arg(flag(note.is_some()));
        let answer = self.link.write("publish_end", script, confirmed).await?;
        Ok(unless_ahead(answer)? == "added")
    }

    pub(super) async fn read_stream(&self, step: &'static str, from: &str, to: &str, count: usize) -> Result<Part> {
        let asked = Call::at(name::STREAM).cmd("TIME").cmd("HGETALL").arg(name::LIVES);
        let asked = asked.cmd("XRANGE").arg(name::STREAM).arg(from).arg(to).arg("COUNT").arg(count);
        type Answer = ((i64, i64), HashMap<u64, i64>, Vec<Entry>);
        let ((second, _), lives, entries): Answer = self.link.run(step, asked).await?;
        Ok((second, kept(lives, second), entries))
    }

    fn page(&self, (second, keep, mut entries): Part, after: &str, most: usize) -> Result<ReadEnds> {
        let at = DateTime::from_timestamp(second, 0).ok_or_else(|| unreadable("the time"))?;
        let at = self.clocks.page_time(at, (self.clock)());
        let more = entries.len() > most;
        entries.truncate(most);
        let cursor = entries.last().map_or_else(|| after.to_owned(), cursor_of);
        // An end that a later version wrote must not keep verifiers from the others.
        let ends = entries.iter().filter_map(|(id, (_, end))| {
            end.parse().inspect_err(|()| tracing::warn!(id, "this version cannot read an entry of wxmint:ended")).ok()
        });
        Ok(ReadEnds { at, keep, ends: ends.collect(), cursor, more })
    }
}

fn is_stream_id(text: &str) -> bool {
    let number = |text: &str| text.len() <= 20 && text.parse::<u64>().is_ok();
    text.split_once('-').is_some_and(|(millis, sequence)| number(millis) && number(sequence))
}

/// Names an entry by its id and its content, because after a failover that lost entries another may have its id.
fn cursor_of((id, (_, end)): &Entry) -> String {
    format!("{id}.{}", URL_SAFE_NO_PAD.encode(&digest(&SHA256, end.as_bytes()).as_ref()[..6]))
}
