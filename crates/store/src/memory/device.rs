//! Scan to log in, in memory. `redis/lua/device.lua` must behave the same.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use wxmint_ids::{AppId, DeviceCode, UserCode, UserId};

use super::{Memory, Shelves};
use crate::device::{POLL_SLOWER, POLL_TOLERANCE, digest_of};
use crate::limits::TooMany;
use crate::{
    Approver, AttemptId, DEVICE_END_KEPT, DEVICE_TTL, Decided, DeviceRequest, Devices, Ended, FoundDevice, Grant,
    Issued, MOST_OPEN, MOST_PICTURES, Opened, POLL_INTERVAL, Poll, Result,
};

pub(super) struct StoredDevice {
    digest: String,
    request: DeviceRequest,
    at: DateTime<Utc>,
    until: DateTime<Utc>,
    state: State,
    scanned: bool,
    pictures: u32,
    interval: Duration,
    next: DateTime<Utc>,
}

#[derive(Clone)]
enum State {
    Open,
    Claimed(Approver),
    Approved(Approver, Grant),
    Denied,
    /// By this attempt.
    Taken(Approver, Grant, AttemptId),
}

impl StoredDevice {
    fn waits(&self, now: DateTime<Utc>) -> bool {
        now < self.until && matches!(self.state, State::Open | State::Claimed(_))
    }
}

#[async_trait(?Send)]
impl Devices for Memory {
    async fn open_device(&self, code: &DeviceCode, request: &DeviceRequest) -> Result<Opened> {
        let (now, mut shelves) = self.open();
        shelves.devices.retain(|_, device| now < device.until + DEVICE_END_KEPT);
        if let Some(held) = shelves.devices.get(code.user_code()) {
            return Ok(if held.digest == digest_of(code) { Opened::Open } else { Opened::Collides });
        }
        let is_open = |device: &&StoredDevice| device.waits(now) && device.request.counted_by == request.counted_by;
        let open: Vec<_> = shelves.devices.values().filter(is_open).map(|device| device.until).collect();
        if open.len() >= MOST_OPEN {
            let first = open.into_iter().min().unwrap_or(now);
            let retry_after = (first - now).to_std().unwrap_or_default();
            return Ok(Opened::TooMany(TooMany { retry_after }));
        }
        let opened = StoredDevice {
            digest: digest_of(code),
            request: request.clone(),
            at: now,
            until: now + DEVICE_TTL,
            state: State::Open,
            scanned: false,
            pictures: 0,
            interval: POLL_INTERVAL,
            next: now,
        };
        shelves.devices.insert(code.user_code().clone(), opened);
        Ok(Opened::Open)
    }

    async fn find_device(&self, code: &UserCode, scanned: Option<&AppId>) -> Result<Option<FoundDevice>> {
        let (now, mut shelves) = self.open();
        let Some(held) = shelves.devices.get_mut(code).filter(|held| now < held.until) else { return Ok(None) };
        let approver = match &held.state {
            State::Open | State::Claimed(_) => None,
            State::Approved(approver, _) | State::Taken(approver, ..) => Some(approver.clone()),
            State::Denied => return Ok(None),
        };
        held.scanned |= approver.is_none() && scanned == Some(&held.request.app);
        let expires_in = (held.until - now).to_std().unwrap_or_default();
        Ok(Some(FoundDevice { request: held.request.clone(), requested_at: held.at.timestamp(), expires_in, approver }))
    }

    async fn count_picture(&self, code: &UserCode) -> Result<bool> {
        let (now, mut shelves) = self.open();
        let Some(held) = shelves.devices.get_mut(code).filter(|held| held.waits(now)) else { return Ok(false) };
        held.pictures += 1;
        Ok(held.pictures <= MOST_PICTURES)
    }

    async fn uncount_picture(&self, code: &UserCode) -> Result<()> {
        if let Some(held) = self.shelves().devices.get_mut(code) {
            held.pictures = held.pictures.saturating_sub(1);
        }
        Ok(())
    }

    async fn claim_device(&self, code: &UserCode, person: &Approver, number: Option<&str>) -> Result<Decided> {
        let (now, mut shelves) = self.open();
        let Some(held) = shelves.devices.get_mut(code).filter(|held| now < held.until) else {
            return Ok(Decided::Gone);
        };
        let is_wrong = held.request.numbers.as_ref().is_some_and(|(_, right)| number != Some(right.as_str()));
        let (decided, state) = match &held.state {
            State::Approved(approver, _) | State::Taken(approver, ..) if approver == person => {
                return Ok(Decided::Approved);
            }
            State::Open | State::Claimed(_) if is_wrong => (Decided::WrongNumber, State::Denied),
            State::Claimed(approver) if approver != person => return Ok(Decided::Gone),
            State::Open | State::Claimed(_) => (Decided::Claimed, State::Claimed(person.clone())),
            State::Approved(..) | State::Taken(..) | State::Denied => return Ok(Decided::Gone),
        };
        held.state = state;
        Ok(decided)
    }

    async fn approve_device(&self, code: &UserCode, person: &Approver, grant: &Grant) -> Result<bool> {
        let (now, mut shelves) = self.open();
        let Some(held) = shelves.devices.get_mut(code).filter(|held| now < held.until) else { return Ok(false) };
        match &held.state {
            State::Claimed(approver) | State::Approved(approver, _) if approver == person => {
                held.state = State::Approved(person.clone(), grant.clone());
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn deny_device(&self, code: &UserCode) -> Result<bool> {
        let (now, mut shelves) = self.open();
        let waiting = shelves.devices.get_mut(code).filter(|held| held.waits(now));
        Ok(waiting.map(|held| held.state = State::Denied).is_some())
    }

    async fn poll_device(&self, code: &DeviceCode, client: &AppId, app: &AppId, attempt: &AttemptId) -> Result<Poll> {
        let (now, mut shelves) = self.open();
        let is_asked = |held: &&mut StoredDevice| {
            held.digest == digest_of(code) && held.request.client == *client && held.request.app == *app
        };
        let Some(held) = shelves.devices.get_mut(code.user_code()).filter(is_asked) else { return Ok(Poll::Unknown) };
        match held.state.clone() {
            _ if held.until + DEVICE_END_KEPT <= now => return Ok(Poll::Unknown),
            State::Denied => return Ok(Poll::Denied),
            State::Taken(_, grant, by) if by == *attempt => return Ok(Poll::Granted(grant)),
            State::Taken(_, grant, _) => return Ok(Poll::Repeated(grant.token)),
            _ if held.until <= now => return Ok(Poll::Expired),
            State::Approved(approver, grant) => {
                held.state = State::Taken(approver, grant.clone(), attempt.clone());
                return Ok(Poll::Granted(grant));
            }
            State::Open | State::Claimed(_) => {}
        }
        let soon = now < held.next;
        held.interval += if soon { POLL_SLOWER } else { Duration::ZERO };
        held.next = now + (held.interval - POLL_TOLERANCE);
        Ok(if soon { Poll::TooSoon } else { Poll::Pending { scanned: held.scanned } })
    }

    async fn note_client_token(&self, token: &Issued, app: &AppId) -> Result<()> {
        let (now, mut shelves) = self.open();
        let noted = &mut shelves.client_tokens;
        noted.retain(|_, until| *until > now.timestamp());
        let until = noted.entry((token.user.clone(), token.app.clone(), app.clone())).or_default();
        *until = token.expires_at.max(*until);
        Ok(())
    }

    async fn users_of_client(&self, client: &AppId, from: i64, most: usize) -> Result<Vec<(UserId, i64)>> {
        let shelves = self.shelves();
        let of_client = shelves.client_tokens.iter().filter(|((_, of, _), until)| of == client && **until >= from);
        let mut users: Vec<_> = of_client.map(|((user, ..), until)| (user.clone(), *until)).collect();
        users.sort_by_key(|(_, until)| *until);
        users.truncate(most);
        Ok(users)
    }
}

impl Shelves {
    /// Ends the user's tokens of one app, and those of the clients whose approvals came through it.
    pub(super) fn end_in_app(&mut self, user: &UserId, app: &AppId, second: i64, now: i64) {
        let of_app = self.client_tokens.keys().filter(|(of, _, through)| of == user && through == app);
        let mut ended = vec![(app.clone(), second)];
        ended.extend(of_app.map(|(_, client, _)| (client.clone(), second)));
        for (app, second) in ended {
            let before = self.ends.entry(user.clone()).or_default().end_app(&app, second);
            self.stream.add(Ended::UserInApp { user: user.clone(), app, before }, now);
        }
    }
}
