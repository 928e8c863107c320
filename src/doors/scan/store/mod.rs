//! The requests of pages that wait for a phone (RFC 8628), in Redis: a hash for each, a set of an address's open ones.

#[cfg(test)]
mod conformance;
mod share;

use std::{sync::LazyLock, time::Duration};

use redis::Value;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use wxmint_ids::{AppId, ClientId, Person, parsed};
use wxmint_keys::token::{ExtraClaims, Issued};
use wxmint_redis_link::{Call, Script};
use wxmint_store::{AttemptId, Result, Store, limits::TooMany, short_digest, unreadable};

use super::browser::BrowserName;
use super::codes::{DeviceCode, UserCode};

/// How long a page waits for the phone.
pub(in crate::doors) const DEVICE_TTL: Duration = Duration::from_secs(180);
/// How long a page that still asks is told how its request has ended.
pub(super) const DEVICE_END_KEPT: Duration = Duration::from_secs(10 * 60);
/// How long a page pauses between two asks, and how much longer after each that came too soon (RFC 8628 section 3.5).
pub(in crate::doors) const POLL_INTERVAL: Duration = Duration::from_secs(2);
const POLL_SLOWER: Duration = Duration::from_secs(5);
/// An ask may be so much too soon, because timers and networks are not exact.
const POLL_TOLERANCE: Duration = Duration::from_millis(200);
/// The door of the client's own pages, which poll at `/token`.
pub(super) const OWN: &str = "";
/// Approvals by the same person at once wait so long for the first.
const CLAIM: Duration = Duration::from_secs(1);
/// How often WeChat is asked for the mini-program code of one request.
pub(super) const MOST_PICTURES: u32 = 3;
const REQUEST: &str = "a page's request";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::doors) struct DeviceRequest {
    pub(super) client: ClientId,
    /// The door whose page this is: no other may fetch what it is granted.
    #[serde(skip)]
    pub(super) door: &'static str,
    /// The app whose users may say yes.
    #[serde(deserialize_with = "parsed")]
    pub(super) app: AppId,
    /// The page's, as the phone shows it.
    pub(super) address: String,
    /// By whom open requests are counted: the address that wxmint itself sees, at all clients together, or that of a
    /// back end's visitor together with the back end, which could name the addresses of others.
    pub(super) counted_by: String,
    #[serde(rename = "user_agent")]
    pub(super) browser: BrowserName,
    /// The numbers from which the person must choose the one that the page shows, and which one that is.
    pub(in crate::doors) numbers: Option<([String; 3], String)>,
}

/// A request that waits for a phone, or was approved by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundDevice {
    pub(super) request: DeviceRequest,
    /// Seconds since 1970 by the store's clock.
    pub(super) requested_at: i64,
    pub(super) expires_in: Duration,
    pub(super) approver: Option<String>,
}

/// A person, as the record of an approval names one: the store keeps no openid for it.
pub(super) fn approver(person: &Person) -> String {
    short_digest(&[person.app.as_str(), person.openid.as_str()].join(":")).to_string()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decided {
    /// The request waits for [`Devices::approve_device`] of this person, and of nobody else.
    Claimed,
    Approved,
    /// The number is wrong, which has spoiled the request for good.
    WrongNumber,
    /// There is no such request, or not any more.
    Gone,
}

/// The token that an approval grants; it is signed when the page fetches it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::doors) struct Grant {
    /// Its `app` is the client.
    pub(in crate::doors) token: Issued,
    /// The claims of the account backend.
    pub(in crate::doors) claims: ExtraClaims,
    /// The binding of the person who has approved it.
    pub(in crate::doors) mark: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::doors) enum Poll {
    /// No request has this device code, or another client's has, or one of this client at another door.
    Unknown,
    Pending {
        scanned: bool,
    },
    TooSoon,
    Denied,
    Expired,
    /// Once.
    Granted(Grant),
    /// The token was fetched before: this one.
    Repeated(Issued),
}

pub(in crate::doors) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts and numbers are JSON")
}

static DEVICE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("device.lua")));

#[derive(Clone, Copy)]
pub(in crate::doors) struct Devices<'a>(pub(in crate::doors) &'a Store);

impl Devices<'_> {
    /// Stores a request for [`DEVICE_TTL`], and its end for [`DEVICE_END_KEPT`]. False if another request has its user
    /// code. Whoever asks has `most` open at a time.
    pub(super) async fn open_device(
        &self,
        code: &DeviceCode,
        asked: &DeviceRequest,
        most: u32,
    ) -> Result<Result<bool, TooMany>> {
        let digest = short_digest(code.expose()).to_string();
        let place = Place { app: &asked.app, counted_by: &asked.counted_by, id: &digest };
        if let Err(refused) = place.take(self.0, most).await? {
            return Ok(Err(refused));
        }
        let script = device(code.user_code(), "open").arg(digest.as_str()).arg(DEVICE_TTL.as_secs());
        let script = script.arg(DEVICE_END_KEPT.as_secs()).arg(POLL_INTERVAL.as_millis() as u64);
        let right = asked.numbers.as_ref().map_or("", |(_, right)| right.as_str());
        let client = format!("{}{}", asked.client, asked.door);
        let members = ["client", &client, "app", asked.app.as_str(), "counted", &asked.counted_by, "right", right];
        let script = script.arg(&members).arg("request").arg(json(asked));
        let opened = self.0.link.run::<bool>("open_device", script).await;
        if matches!(opened, Ok(true)) {
            return Ok(Ok(true));
        }
        let given_back = place.give_back(self.0).await;
        opened?;
        given_back.map(|()| Ok(false))
    }

    /// Finds a request that a phone of this app may approve, or that one has approved. With `scanned` it is noted that
    /// a phone has looked at it.
    pub(super) async fn find_device(&self, code: &UserCode, scanned: Option<&AppId>) -> Result<Option<FoundDevice>> {
        let script = device(code, "find").arg(scanned.map_or("", AppId::as_str));
        let told: Option<(String, i64, u64, String)> = self.0.link.run("find_device", script).await?;
        let Some((request, requested_at, left, approver)) = told else { return Ok(None) };
        let (request, expires_in) = (read(REQUEST, &request)?, Duration::from_millis(left));
        let approver = (!approver.is_empty()).then_some(approver);
        Ok(Some(FoundDevice { request, requested_at, expires_in, approver }))
    }

    /// Takes one of the codes that WeChat draws for the app in a minute. `id` names the code.
    pub(super) async fn take_code(&self, app: &AppId, address: &str, id: &str) -> Result<Result<(), TooMany>> {
        share::CODES.take(self.0, app, address, id).await
    }

    /// Gives back a code that WeChat has not drawn.
    pub(super) async fn give_back_code(&self, app: &AppId, address: &str, id: &str) -> Result<()> {
        share::CODES.give_back(self.0, app, address, id).await
    }

    /// Counts a mini-program code of an open request. False after [`MOST_PICTURES`], or if there is no such request.
    pub(super) async fn count_picture(&self, code: &UserCode) -> Result<bool> {
        Ok(self.0.link.run("count_picture", device(code, "picture").arg(MOST_PICTURES)).await?)
    }

    /// Uncounts a mini-program code that WeChat has not drawn.
    pub(super) async fn uncount_picture(&self, code: &UserCode) -> Result<()> {
        Ok(self.0.link.run("uncount_picture", device(code, "unpicture")).await?)
    }

    /// Begins an approval. `number`: the one that the person has chosen.
    pub(super) async fn claim_device(&self, code: &UserCode, person: &str, number: Option<&str>) -> Result<Decided> {
        let claim = |apart| device(code, "claim").arg(person).arg(number.unwrap_or_default()).arg(apart);
        let mut told: String = self.0.link.run("claim_device", claim(CLAIM.as_millis() as u64)).await?;
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

    /// Approves what this person has claimed. False if it has expired, was denied, or its token was fetched meanwhile.
    pub(super) async fn approve_device(&self, code: &UserCode, person: &str, grant: &Grant) -> Result<bool> {
        Ok(self.0.link.run("approve_device", device(code, "approve").arg(person).arg(json(grant))).await?)
    }

    /// Denies a request that nobody has approved. This person may repeat it. False if there is none.
    pub(super) async fn deny_device(&self, code: &UserCode, person: &str) -> Result<bool> {
        let denied = self.0.link.run("deny_device", device(code, "deny").arg(person)).await?;
        if denied {
            close(self.0, code).await;
        }
        Ok(denied)
    }

    /// Tells a page of `client` at this door, which logs in users of `app`, what became of its request. An attempt that
    /// `takes` the grant is granted it again, and no other one is.
    pub(super) async fn poll_device(
        &self,
        code: &DeviceCode,
        (client, door): (&ClientId, &str),
        app: &AppId,
        (attempt, takes): (&AttemptId, bool),
    ) -> Result<Poll> {
        let script = device(code.user_code(), "poll").arg(short_digest(code.expose()).to_string());
        let script = script.arg(format!("{client}{door}")).arg(app.as_str()).arg(attempt.to_string());
        let script = script.arg(POLL_TOLERANCE.as_millis() as u64).arg(POLL_SLOWER.as_millis() as u64).arg(takes);
        let told: Vec<String> = self.0.link.run("poll_device", script).await?;
        let Some((state, grant)) = told.split_first() else { return Ok(Poll::Unknown) };
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

    /// Gives up what this attempt has taken, or may still take, and has given nobody.
    pub(super) async fn release_device(&self, code: &DeviceCode, attempt: &AttemptId) -> Result<()> {
        Ok(self.0.link.run("release_device", device(code.user_code(), "release").arg(attempt.to_string())).await?)
    }
}

/// Counts a request as open no more, because it has led to a login or was refused. What has ended it stands, so a
/// failure is not told: the count expires by itself.
async fn close(redis: &Store, code: &UserCode) {
    let asked = Call::of("HMGET", key(code)).arg("counted").arg("digest").arg("app");
    type Counted = (Option<String>, Option<String>, Option<String>);
    let Ok((Some(counted_by), Some(id), Some(app))) = redis.link.run::<Counted>("close_device", asked).await else {
        return;
    };
    if let Ok(app) = app.parse() {
        _ = Place { app: &app, counted_by: &counted_by, id: &id }.give_back(redis).await;
    }
}

/// The place of an open request: one of those that an address may have, at all clients together, and one of those that
/// all addresses together may have at an app.
struct Place<'a> {
    app: &'a AppId,
    counted_by: &'a str,
    id: &'a str,
}

impl Place<'_> {
    /// If there is none, the answer is how long to wait.
    async fn take(&self, redis: &Store, most: u32) -> Result<Result<(), TooMany>> {
        if let Err(refused) = self.take_of_address(redis, most).await? {
            return Ok(Err(refused));
        }
        let taken = share::OPEN_REQUESTS.take(redis, self.app, self.counted_by, self.id).await;
        if !matches!(taken, Ok(Ok(()))) {
            strike(redis, &open_devices(self.counted_by), self.id).await?;
        }
        taken
    }

    /// It is counted first, and uncounted if it is one too many: however many come at a time, the bound holds.
    async fn take_of_address(&self, redis: &Store, most: u32) -> Result<Result<(), TooMany>> {
        let list = open_devices(self.counted_by);
        let now = redis.now().timestamp();
        let life = DEVICE_TTL.as_secs() as i64;
        let call = Call::of("ZADD", &list).arg(now + life).arg(self.id);
        let call = call.cmd("EXPIRE").arg(&list).arg(life);
        let call = call.cmd("ZREMRANGEBYSCORE").arg(&list).arg("-inf").arg(now);
        let call = call.cmd("ZCARD").arg(&list);
        let call = call.cmd("ZRANGE").arg(&list).arg(0).arg(0).arg("WITHSCORES");
        type Counted = (Value, Value, Value, u32, Names);
        let (_, _, _, open, oldest): Counted = redis.link.run("count_open", call).await?;
        if open <= most {
            return Ok(Ok(()));
        }
        strike(redis, &list, self.id).await?;
        let expires_at = oldest.first().map_or(now, |(_, expires_at)| *expires_at as i64);
        Ok(Err(TooMany { retry_after: Duration::from_secs((expires_at - now).max(1).unsigned_abs()) }))
    }

    async fn give_back(&self, redis: &Store) -> Result<()> {
        strike(redis, &open_devices(self.counted_by), self.id).await?;
        share::OPEN_REQUESTS.give_back(redis, self.app, self.counted_by, self.id).await
    }
}

/// The names of a list, each with its time.
type Names = Vec<(String, f64)>;

/// Adds a name to a list, and returns all of them, each with its time, the oldest first. One whose time is earlier by
/// `life` is gone, and so is the list that long after the last one came.
pub(in crate::doors) async fn enlist(store: &Store, list: &str, name: &str, at: f64, life: Duration) -> Result<Names> {
    let seconds = life.as_secs();
    let call = Call::of("ZADD", list).arg(at).arg(name).cmd("EXPIRE").arg(list).arg(seconds);
    let call = call.cmd("ZREMRANGEBYSCORE").arg(list).arg("-inf").arg(at - seconds as f64);
    let call = call.cmd("ZRANGE").arg(list).arg(0).arg(-1).arg("WITHSCORES");
    let (_, _, _, names): (Value, Value, Value, _) = store.link.run("enlist", call).await?;
    Ok(names)
}

/// The names of a list, as [`enlist`] returns them.
pub(in crate::doors) async fn names(store: &Store, list: &str) -> Result<Names> {
    Ok(store.link.run("names", Call::of("ZRANGE", list).arg(0).arg(-1).arg("WITHSCORES")).await?)
}

pub(in crate::doors) async fn strike(store: &Store, list: &str, name: &str) -> Result<()> {
    Ok(store.link.run("strike", Call::of("ZREM", list).arg(name)).await?)
}

/// The user code is no secret of the page: whoever can read Redis learns no device code.
fn key(code: &UserCode) -> String {
    format!("wxmint:device:{{{code}}}")
}

fn open_devices(address: &str) -> String {
    ["wxmint:devices:", address].concat()
}

fn device(code: &UserCode, step: &str) -> Call {
    DEVICE.on(&[&key(code)]).arg(step)
}

pub(in crate::doors) fn read<T: DeserializeOwned>(what: &'static str, kept: &str) -> Result<T> {
    serde_json::from_str(kept).map_err(|_| unreadable(what))
}
