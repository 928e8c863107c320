//! A person's session as it is stored: a line for each of the two latest exchanges, as `session.lua` describes it.

use std::{ops::Range, time::Duration};

use wxmint_ids::UserId;

use super::packed;
use crate::{ExchangeOrder, PREVIOUS_KEY_TTL, Sealed};

/// The order of a line's exchange: microseconds since 1970 in 52 bits, and 4 random bits of its attempt, which tell two
/// exchanges of a microsecond apart.
const ORDER: Range<usize> = 0..7;
/// Until when its login counts, in quarters of a second since 2020; 0 if it does not. They last until 2054.
const TILL: Range<usize> = 7..11;
const QUARTER: u64 = 250_000;
const SINCE_2020: u64 = 1_577_836_800 * 4;

/// Stands in front of a session's owner, who is so many bytes long.
const OWNER: &[u8] = b"u";
const OWNER_LEN: usize = 17;

/// The owner of a session, as it stands behind the lines.
pub(super) fn owner_text(user: &UserId) -> Vec<u8> {
    [OWNER, &packed::user(user)].concat()
}

/// The user of a person without a binding, whose user id was computed.
pub(super) fn owner(session: &[u8]) -> Option<UserId> {
    packed::read_user(lines(session).1.strip_prefix(OWNER)?.get(..OWNER_LEN)?).ok()
}

/// The lines, and what stands behind them: its first byte is no length of a line.
fn lines(mut session: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let mut lines = Vec::new();
    while let Some(([high @ 0..32, low], rest)) = session.split_first_chunk() {
        let Some((line, others)) = rest.split_at_checked(u16::from_be_bytes([*high, *low]).into()) else { break };
        lines.push(line);
        session = others;
    }
    (lines, session)
}

/// The stored session keys, each with the time of its exchange in microseconds since 1970, the latest first.
pub(super) fn keys(session: &[u8]) -> Vec<(u64, Sealed)> {
    let key = |line: &[u8]| {
        let (order, sealed) = line.get(ORDER).zip(line.get(TILL.end..))?;
        let place = order.iter().fold(0, |place, byte| place << 8 | u64::from(*byte));
        Some((place >> 4, Sealed::from_stored(sealed.to_vec())))
    };
    lines(session).0.into_iter().map_while(key).collect()
}

/// The keys that may still be used, newest first: the one before for a while after it was replaced. `now`: since 1970.
pub(super) fn usable(session: &[u8], now: Duration) -> Vec<Sealed> {
    let keys = keys(session);
    let latest = keys.first().map(|(micros, _)| Duration::from_micros(*micros)).unwrap_or_default();
    let usable = if now.saturating_sub(latest) < PREVIOUS_KEY_TTL { 2 } else { 1 };
    keys.into_iter().take(usable).map(|(_, sealed)| sealed).filter(|sealed| !sealed.is_nothing()).collect()
}

/// An exchange as a line of a session. `till` when the login counts, in quarters.
pub(super) fn line(order: &ExchangeOrder, till: u64, sealed: &Sealed) -> Vec<u8> {
    let place = order.micros << 4 | u64::from(order.attempt.mark().0 & 15);
    let mut line = Vec::with_capacity(TILL.end + sealed.as_bytes().len());
    line.extend_from_slice(&place.to_be_bytes()[1..]);
    line.extend_from_slice(&u32::try_from(till).unwrap_or(u32::MAX).to_be_bytes());
    line.extend_from_slice(sealed.as_bytes());
    line
}

/// The first quarter that is not before that time.
pub(super) fn quarter(micros: u64) -> u64 {
    micros.div_ceil(QUARTER).saturating_sub(SINCE_2020)
}

/// Since 1970.
pub(super) fn micros(quarter: u64) -> u64 {
    (quarter + SINCE_2020) * QUARTER
}
