//! Device requests in Redis: pages that wait for a phone (RFC 8628). Each request is a hash. The
//! open requests of an address are a sorted set.

#[cfg(test)]
mod conformance;
mod share;

use std::{sync::LazyLock, time::Duration};

use redis::Value;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use wxmint_ids::{AppId, ClientId, Person, parsed};
use wxmint_keys::token::Issued;
use wxmint_redis_link::{Call, Script};
use wxmint_store::limits::{LimitError, TooMany};
use wxmint_store::{AttemptId, Result, Store, short_digest};

use super::browser::BrowserName;
use super::codes::{DeviceCode, UserCode};
use crate::oauth::grant::Grant;
use crate::oauth::records::{json, read, remove_name};

/// How long a page waits for the phone.
pub(super) const DEVICE_TTL: Duration = Duration::from_mins(3);
/// How long the outcome of a request is kept after it has expired, for pages that still poll.
pub(super) const DEVICE_END_KEPT: Duration = Duration::from_mins(10);
/// How long a page waits between two polls, and how much longer after each poll that came too soon
/// (RFC 8628 section 3.5).
pub(super) const POLL_INTERVAL: Duration = Duration::from_secs(2);
const POLL_SLOWER: Duration = Duration::from_secs(5);
/// How much too soon a poll may come, because timers and networks are not exact.
const POLL_TOLERANCE: Duration = Duration::from_millis(200);
/// The door of the client's own pages, which poll at `/token`.
pub(super) const OWN: &str = "";
/// How long a second approval by the same person waits for the first.
const CLAIM: Duration = Duration::from_secs(1);
/// How many mini-program codes WeChat may draw for one request.
pub(super) const MOST_PICTURES: u32 = 3;
const REQUEST: &str = "a page's request";

/// A request of a page for a login by a phone (RFC 8628).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DeviceRequest {
    pub(super) client: ClientId,
    /// The door whose page has opened the request. Pages of other doors may not fetch its grant.
    #[serde(skip)]
    pub(super) door: &'static str,
    /// The app whose users may approve.
    #[serde(deserialize_with = "parsed")]
    pub(super) app: AppId,
    /// The address of the page's browser, as the phone shows it.
    pub(super) address: String,
    /// The key under which open requests are counted, for all clients together: the address that
    /// wxmint itself sees. For a back end's visitor it is the visitor's address together with the
    /// back end, because a back end could name the addresses of others.
    pub(super) counted_by: String,
    #[serde(rename = "user_agent")]
    pub(super) browser: BrowserName,
    /// The three numbers that the phone offers, and the one among them that the page shows. `None`
    /// if the client compares no numbers.
    pub(super) numbers: Option<([String; 3], String)>,
}

/// A request that waits for a phone, or was approved by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundDevice {
    pub(super) request: DeviceRequest,
    /// Seconds since 1970 by the store's clock.
    pub(super) requested_at: i64,
    pub(super) expires_in: Duration,
    /// The digest of the person who has approved it, by [`approver`]; `None` while it waits.
    pub(super) approver: Option<String>,
}

/// The digest that identifies a person in an approval, so that the store keeps no openid there.
pub(super) fn approver(person: &Person) -> String {
    short_digest(&[person.app.as_str(), person.openid.as_str()].join(":")).to_string()
}

/// The outcome of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decided {
    /// The request is claimed. Only this person may now approve it, with
    /// [`Devices::approve_device`].
    Claimed,
    /// The same person has approved the request before.
    Approved,
    /// The number is wrong. The request is denied for good.
    WrongNumber,
    /// The request does not exist, has expired, was denied, or belongs to another person.
    Gone,
}

/// The answer to a page that polls for its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Poll {
    /// No request of this client, at this door and with this app, has the device code.
    Unknown,
    /// The request waits for the person. `scanned`: a phone has viewed it.
    Pending {
        scanned: bool,
    },
    /// The page has polled too soon. From now on it must wait 5 seconds longer.
    TooSoon,
    Denied,
    Expired,
    /// The grant. Only one attempt gets it.
    Granted(Grant),
    /// Another attempt has already taken the grant of this token.
    Repeated(Issued),
}

static DEVICE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("device.lua")));

#[derive(Clone, Copy)]
pub(super) struct Devices<'a>(pub(super) &'a Store);

impl Devices<'_> {
    /// Stores a request for [`DEVICE_TTL`], and its outcome for [`DEVICE_END_KEPT`] longer. `false`
    /// if another request has its user code. At most `most` requests may be open under the same
    /// `counted_by`; beyond that, [`LimitError::TooMany`].
    pub(super) async fn open_device(
        &self,
        code: &DeviceCode,
        asked: &DeviceRequest,
        most: u32,
    ) -> Result<bool, LimitError> {
        let digest = short_digest(code.expose()).to_string();
        let place = Place {
            app: &asked.app,
            counted_by: &asked.counted_by,
            id: &digest,
        };
        place.take(self.0, most).await?;
        let script = device(code.user_code(), "open")
            .arg(digest.as_str())
            .arg(DEVICE_TTL.as_secs());
        let script = script
            .arg(DEVICE_END_KEPT.as_secs())
            .arg(POLL_INTERVAL.as_millis() as u64);
        let right = asked
            .numbers
            .as_ref()
            .map_or("", |(_, right)| right.as_str());
        let client = format!("{}{}", asked.client, asked.door);
        let members = [
            "client",
            &client,
            "app",
            asked.app.as_str(),
            "counted",
            &asked.counted_by,
            "right",
            right,
        ];
        let script = script.arg(&members).arg("request").arg(json(asked));
        let opened = self.0.link.run::<bool>("open_device", script).await;
        if matches!(opened, Ok(true)) {
            return Ok(true);
        }
        let given_back = place.give_back(self.0).await;
        opened?;
        given_back?;
        Ok(false)
    }

    /// Finds a request that waits for a phone or was approved. If `scanned` is the request's app,
    /// notes that a phone has viewed the request.
    pub(super) async fn find_device(
        &self,
        code: &UserCode,
        scanned: Option<&AppId>,
    ) -> Result<Option<FoundDevice>> {
        let script = device(code, "find").arg(scanned.map_or("", AppId::as_str));
        let told: Option<(String, i64, u64, String)> =
            self.0.link.run("find_device", script).await?;
        let Some((request, requested_at, left, approver)) = told else {
            return Ok(None);
        };
        Ok(Some(FoundDevice {
            request: read(REQUEST, &request)?,
            requested_at,
            expires_in: Duration::from_millis(left),
            approver: (!approver.is_empty()).then_some(approver),
        }))
    }

    /// Reserves one of the codes that WeChat draws for the app in a minute. `id` identifies the
    /// reservation.
    pub(super) async fn take_code(
        &self,
        app: &AppId,
        address: &str,
        id: &str,
    ) -> Result<(), LimitError> {
        share::CODES.take(self.0, app, address, id).await
    }

    /// Releases the reservation of a code that WeChat has not drawn.
    pub(super) async fn give_back_code(&self, app: &AppId, address: &str, id: &str) -> Result<()> {
        share::CODES.give_back(self.0, app, address, id).await
    }

    /// Counts a mini-program code of an open request. `false` after [`MOST_PICTURES`], or if no
    /// such request is open.
    pub(super) async fn count_picture(&self, code: &UserCode) -> Result<bool> {
        Ok(self
            .0
            .link
            .run("count_picture", device(code, "picture").arg(MOST_PICTURES))
            .await?)
    }

    /// Uncounts a mini-program code that WeChat has not drawn.
    pub(super) async fn uncount_picture(&self, code: &UserCode) -> Result<()> {
        Ok(self
            .0
            .link
            .run("uncount_picture", device(code, "unpicture"))
            .await?)
    }

    /// Begins an approval. `number` is the number that the person has chosen.
    pub(super) async fn claim_device(
        &self,
        code: &UserCode,
        person: &str,
        number: Option<&str>,
    ) -> Result<Decided> {
        let claim = |apart| {
            device(code, "claim")
                .arg(person)
                .arg(number.unwrap_or_default())
                .arg(apart)
        };
        let mut told: String = self
            .0
            .link
            .run("claim_device", claim(CLAIM.as_millis() as u64))
            .await?;
        if told == "busy" {
            sleep(CLAIM).await;
            told = self.0.link.run("claim_device", claim(0)).await?;
        }
        Ok(match told.as_str() {
            "claimed" => Decided::Claimed,
            "approved" => Decided::Approved,
            "wrong" => {
                close(self.0, code).await;
                Decided::WrongNumber
            }
            _ => Decided::Gone,
        })
    }

    /// Approves a request that this person has claimed. `false` if it has expired, was denied, or
    /// its token was fetched meanwhile.
    pub(super) async fn approve_device(
        &self,
        code: &UserCode,
        person: &str,
        grant: &Grant,
    ) -> Result<bool> {
        Ok(self
            .0
            .link
            .run(
                "approve_device",
                device(code, "approve").arg(person).arg(json(grant)),
            )
            .await?)
    }

    /// Denies a request that nobody has approved. The same person may repeat the denial. `false` if
    /// there is no such request.
    pub(super) async fn deny_device(&self, code: &UserCode, person: &str) -> Result<bool> {
        let denied = self
            .0
            .link
            .run("deny_device", device(code, "deny").arg(person))
            .await?;
        if denied {
            close(self.0, code).await;
        }
        Ok(denied)
    }

    /// Returns the state of a request to a page of `client` at this door, whose users log in by
    /// `app`. If `takes` is set, the attempt takes the grant. The attempt that has taken the grant
    /// gets it again; every other attempt gets [`Poll::Repeated`].
    pub(super) async fn poll_device(
        &self,
        code: &DeviceCode,
        (client, door): (&ClientId, &str),
        app: &AppId,
        (attempt, takes): (&AttemptId, bool),
    ) -> Result<Poll> {
        let script = device(code.user_code(), "poll").arg(short_digest(code.expose()).to_string());
        let script = script
            .arg(format!("{client}{door}"))
            .arg(app.as_str())
            .arg(attempt.to_string());
        let script = script
            .arg(POLL_TOLERANCE.as_millis() as u64)
            .arg(POLL_SLOWER.as_millis() as u64)
            .arg(takes);
        let told: Vec<String> = self.0.link.run("poll_device", script).await?;
        let Some((state, grant)) = told.split_first() else {
            return Ok(Poll::Unknown);
        };
        if takes && state == "approved" {
            close(self.0, code.user_code()).await;
        }
        let granted = || read::<Grant>(REQUEST, grant.first().map_or("", String::as_str));
        Ok(match state.as_str() {
            "pending" => Poll::Pending { scanned: false },
            "scanned" => Poll::Pending { scanned: true },
            "soon" => Poll::TooSoon,
            "denied" => Poll::Denied,
            "approved" => Poll::Granted(granted()?),
            "taken" => Poll::Repeated(granted()?.token),
            _ => Poll::Expired,
        })
    }

    /// Releases the grant that this attempt has taken but given to nobody. A late message of the
    /// attempt takes nothing any more.
    pub(super) async fn release_device(
        &self,
        code: &DeviceCode,
        attempt: &AttemptId,
    ) -> Result<()> {
        Ok(self
            .0
            .link
            .run(
                "release_device",
                device(code.user_code(), "release").arg(attempt.to_string()),
            )
            .await?)
    }
}

/// Frees the slot of a request that has led to a login or was refused. A failure is ignored,
/// because the outcome is already stored and the slot expires by itself.
async fn close(redis: &Store, code: &UserCode) {
    let asked = Call::of("HMGET", key(code))
        .arg("counted")
        .arg("digest")
        .arg("app");
    type Counted = (Option<String>, Option<String>, Option<String>);
    let Ok((Some(counted_by), Some(id), Some(app))) =
        redis.link.run::<Counted>("close_device", asked).await
    else {
        return;
    };
    let Ok(app) = app.parse() else { return };
    let place = Place {
        app: &app,
        counted_by: &counted_by,
        id: &id,
    };
    _ = place.give_back(redis).await;
}

/// The slot of an open request. It counts against the limit of its address, for all clients
/// together, and against the app's limit, for all addresses together.
struct Place<'a> {
    app: &'a AppId,
    counted_by: &'a str,
    id: &'a str,
}

impl Place<'_> {
    /// Takes the slot. If no slot is free, [`LimitError::TooMany`] says how long to wait.
    async fn take(&self, redis: &Store, most: u32) -> Result<(), LimitError> {
        self.take_of_address(redis, most).await?;
        let taken = share::OPEN_REQUESTS
            .take(redis, self.app, self.counted_by, self.id)
            .await;
        if taken.is_err() {
            remove_name(redis, &open_devices(self.counted_by), self.id).await?;
        }
        taken
    }

    /// Counts the request first, and removes it if it is one too many. So the limit holds even if
    /// many requests come at once.
    async fn take_of_address(&self, redis: &Store, most: u32) -> Result<(), LimitError> {
        let list = open_devices(self.counted_by);
        let now = redis.clock.now().timestamp();
        let life = DEVICE_TTL.as_secs() as i64;
        let call = Call::of("ZADD", &list).arg(now + life).arg(self.id);
        let call = call.cmd("EXPIRE").arg(&list).arg(life);
        let call = call.cmd("ZREMRANGEBYSCORE").arg(&list).arg("-inf").arg(now);
        let call = call.cmd("ZCARD").arg(&list);
        let call = call
            .cmd("ZRANGE")
            .arg(&list)
            .arg(0)
            .arg(0)
            .arg("WITHSCORES");
        type Counted = (Value, Value, Value, u32, Vec<(String, f64)>);
        let (_, _, _, open, oldest): Counted = redis.link.run("count_open", call).await?;
        if open <= most {
            return Ok(());
        }
        remove_name(redis, &list, self.id).await?;
        let expires_at = oldest
            .first()
            .map_or(now, |(_, expires_at)| *expires_at as i64);
        Err(LimitError::TooMany(TooMany {
            retry_after: Duration::from_secs((expires_at - now).max(1).unsigned_abs()),
        }))
    }

    async fn give_back(&self, redis: &Store) -> Result<()> {
        remove_name(redis, &open_devices(self.counted_by), self.id).await?;
        share::OPEN_REQUESTS
            .give_back(redis, self.app, self.counted_by, self.id)
            .await
    }
}

/// The key contains the user code, which is not the page's secret. A reader of Redis learns no
/// device code.
fn key(code: &UserCode) -> String {
    format!("wxmint:device:{{{code}}}")
}

fn open_devices(address: &str) -> String {
    ["wxmint:devices:", address].concat()
}

fn device(code: &UserCode, step: &str) -> Call {
    DEVICE.on(&[&key(code)]).arg(step)
}
