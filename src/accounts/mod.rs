//! Who the business user is.

use chrono::{DateTime, Utc};
use uuid::{NoContext, Timestamp, Uuid};

use crate::ids::UserId;

/// The `auto` backend: a first login makes a user, and there are no passwords.
#[derive(Debug, Clone, Copy)]
pub struct Auto;

impl Auto {
    /// The id that a person gets who is bound to nobody yet: a UUIDv7 of `now` (RFC 9562 section 5.7).
    pub fn new_user(self, now: DateTime<Utc>) -> UserId {
        let seconds = now.timestamp().max(0) as u64;
        let uuid = Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, now.timestamp_subsec_nanos()));
        uuid.to_string().parse().expect("a UUID is 36 visible ASCII characters")
    }
}
