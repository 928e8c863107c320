//! The `auto` backend: a first login makes a user, and there are no credentials besides WeChat's.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::{NoContext, Timestamp, Uuid};

use super::{Accepts, Accounts, AccountsError, Named, NewUserKey};
use crate::ids::UserId;

/// Makes user ids by itself.
#[derive(Debug, Clone, Copy)]
pub struct Auto;

/// A new user id: a UUIDv7 of `now` (RFC 9562 section 5.7).
pub(crate) fn fresh_user(now: DateTime<Utc>) -> UserId {
    let seconds = now.timestamp().max(0) as u64;
    let uuid = Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, now.timestamp_subsec_nanos()));
    uuid.to_string().parse().expect("a UUID is 36 visible ASCII characters")
}

#[async_trait(?Send)]
impl Accounts for Auto {
    fn accepts(&self) -> Accepts {
        Accepts { passwords: false, phones: false }
    }

    async fn new_user(&self, _: &NewUserKey, now: DateTime<Utc>) -> Result<Named, AccountsError> {
        Ok(Named { user: fresh_user(now), made: true })
    }
}
