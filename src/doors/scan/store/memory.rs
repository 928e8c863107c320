//! The requests in memory. `device.lua` must behave the same.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use wxmint_store::Memory;

use super::*;

#[derive(Default)]
struct Shelf(HashMap<UserCode, StoredDevice>);

struct StoredDevice {
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
        let (now, mut shelf) = self.shelf::<Shelf>();
        shelf.0.retain(|_, device| now < device.until + DEVICE_END_KEPT);
        if let Some(held) = shelf.0.get(code.user_code()) {
            return Ok(if held.digest == digest_of(code) { Opened::Open } else { Opened::Collides });
        }
        let is_open = |device: &&StoredDevice| device.waits(now) && device.request.counted_by == request.counted_by;
        let open: Vec<_> = shelf.0.values().filter(is_open).map(|device| device.until).collect();
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
        shelf.0.insert(code.user_code().clone(), opened);
        Ok(Opened::Open)
    }

    async fn find_device(&self, code: &UserCode, scanned: Option<&AppId>) -> Result<Option<FoundDevice>> {
        let (now, mut shelf) = self.shelf::<Shelf>();
        let Some(held) = shelf.0.get_mut(code).filter(|held| now < held.until) else { return Ok(None) };
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
        let (now, mut shelf) = self.shelf::<Shelf>();
        let Some(held) = shelf.0.get_mut(code).filter(|held| held.waits(now)) else { return Ok(false) };
        held.pictures += 1;
        Ok(held.pictures <= MOST_PICTURES)
    }

    async fn uncount_picture(&self, code: &UserCode) -> Result<()> {
        if let Some(held) = self.shelf::<Shelf>().1.0.get_mut(code) {
            held.pictures = held.pictures.saturating_sub(1);
        }
        Ok(())
    }

    async fn claim_device(&self, code: &UserCode, person: &Approver, number: Option<&str>) -> Result<Decided> {
        let (now, mut shelf) = self.shelf::<Shelf>();
        let Some(held) = shelf.0.get_mut(code).filter(|held| now < held.until) else {
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
        let (now, mut shelf) = self.shelf::<Shelf>();
        let Some(held) = shelf.0.get_mut(code).filter(|held| now < held.until) else { return Ok(false) };
        match &held.state {
            State::Claimed(approver) | State::Approved(approver, _) if approver == person => {
                held.state = State::Approved(person.clone(), grant.clone());
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn deny_device(&self, code: &UserCode) -> Result<bool> {
        let (now, mut shelf) = self.shelf::<Shelf>();
        let waiting = shelf.0.get_mut(code).filter(|held| held.waits(now));
        Ok(waiting.map(|held| held.state = State::Denied).is_some())
    }

    async fn poll_device(
        &self,
        code: &DeviceCode,
        client: &ClientId,
        app: &AppId,
        attempt: &AttemptId,
    ) -> Result<Poll> {
        let (now, mut shelf) = self.shelf::<Shelf>();
        let is_asked = |held: &&mut StoredDevice| {
            held.digest == digest_of(code) && held.request.client == *client && held.request.app == *app
        };
        let Some(held) = shelf.0.get_mut(code.user_code()).filter(is_asked) else { return Ok(Poll::Unknown) };
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
}
