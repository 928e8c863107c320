//! Revocations in Redis. The service looks them up in a `record` in the slot of the user's list.
//! Verifiers learn of them from the `stream`.

pub(crate) mod clients;
pub(crate) mod lives;
pub(crate) mod record;
pub(crate) mod stream;

use std::time::Duration;

use self::clients::ClientTokens;
use self::lives::{Lives, TokenLives};
use self::stream::RevocationStream;

/// How long the date of a renewed token is kept after the token has expired, so that later
/// revocations cover the token even if the clock of Redis has stepped back.
const NOTE_KEPT: Duration = Duration::from_hours(1);
