//! Scan to log in, in Redis: a hash for each request, and sets of who has a token of which page.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join;
use redis::Value;
use wxmint_ids::{AppId, DeviceCode, UserCode, UserId};
use wxmint_verify::MAX_LEEWAY;

use super::{Call, Redis, name, packed, script, unreadable};
use crate::device::{POLL_SLOWER, POLL_TOLERANCE, digest_of};
use crate::limits::TooMany;
use crate::{
    Approver, AttemptId, DEVICE_END_KEPT, DEVICE_TTL, Decided, DeviceRequest, Devices, FoundDevice, Grant, Issued,
    MOST_OPEN, MOST_PICTURES, Opened, POLL_INTERVAL, Poll, Result,
};

#[async_trait(?Send)]
impl Devices for Redis {
    async fn open_device(&self, code: &DeviceCode, request: &DeviceRequest) -> Result<Opened> {
        let digest = digest_of(code);
        if let Some(wait) = self.count_open(&request.counted_by, &digest).await? {
            return Ok(Opened::TooMany(TooMany { retry_after: wait }));
        }
        let script = device(code.user_code(), "open");
        let script = script.arg(digest.as_str()).arg(DEVICE_TTL.as_secs()).arg(DEVICE_END_KEPT.as_secs());
        let script = script.arg(POLL_INTERVAL.as_millis() as u64);
        let (choices, right) =
            request.numbers.as_ref().map_or(Default::default(), |(choices, right)| (choices.join(" "), right.as_str()));
        let script = script.arg("client").arg(request.client.as_str()).arg("app").arg(request.app.as_str());
        let script = script.arg("counted").arg(&request.counted_by).arg("choices").arg(choices).arg("right").arg(right);
        let script = script.arg("address").arg(&request.address).arg("agent").arg(&request.user_agent);
        if self.link.run::<bool>("open_device", script).await? {
            return Ok(Opened::Open);
        }
        self.uncount_open(&request.counted_by, &digest).await?;
        Ok(Opened::Collides)
    }

    async fn find_device(&self, code: &UserCode, scanned: Option<&AppId>) -> Result<Option<FoundDevice>> {
        let script = device(code, "find").arg(scanned.map_or("", AppId::as_str));
        let told: Vec<String> = self.link.run("find_device", script).await?;
        if told.is_empty() {
            return Ok(None);
        }
        found(told).map(Some).ok_or_else(|| unreadable("a page's request"))
    }

    async fn count_picture(&self, code: &UserCode) -> Result<bool> {
        Ok(self.link.run("count_picture", device(code, "picture").arg(MOST_PICTURES)).await?)
    }

    async fn uncount_picture(&self, code: &UserCode) -> Result<()> {
        Ok(self.link.run("uncount_picture", device(code, "unpicture")).await?)
    }

    async fn claim_device(
        &self,
        code: &UserCode,
        Approver(person): &Approver,
        number: Option<&str>,
    ) -> Result<Decided> {
        let script = device(code, "claim").arg(person.as_str()).arg(number.unwrap_or_default());
        Ok(match self.link.run::<String>("claim_device", script).await?.as_str() {
            "claimed" => Decided::Claimed,
            "approved" => Decided::Approved,
            "wrong" => {
                self.close(code).await;
                Decided::WrongNumber
            }
            _ => Decided::Gone,
        })
    }

    async fn approve_device(&self, code: &UserCode, Approver(person): &Approver, grant: &Grant) -> Result<bool> {
        let Grant { token, claims } = grant;
        let script = device(code, "approve").arg(person.as_str()).arg(token.user.as_str()).arg(token.id.as_str());
        let script = script.arg(token.issued_at).arg(token.expires_at).arg(claims.as_str());
        Ok(self.link.run("approve_device", script).await?)
    }

    async fn deny_device(&self, code: &UserCode) -> Result<bool> {
        let denied = self.link.run("deny_device", device(code, "deny")).await?;
        if denied {
            self.close(code).await;
        }
        Ok(denied)
    }

    async fn poll_device(&self, code: &DeviceCode, client: &AppId, app: &AppId, attempt: &AttemptId) -> Result<Poll> {
        let script = device(code.user_code(), "poll");
        let script = script.arg(digest_of(code)).arg(client.as_str()).arg(app.as_str()).text(attempt);
        let script = script.arg(POLL_TOLERANCE.as_millis() as u64).arg(POLL_SLOWER.as_millis() as u64);
        let told: Vec<String> = self.link.run("poll_device", script).await?;
        let Some((state, of_token)) = told.split_first() else { return Ok(Poll::Unknown) };
        let granted = || granted(client, of_token).ok_or_else(|| unreadable("a page's request"));
        Ok(match state.as_str() {
            "pending" => Poll::Pending { scanned: false },
            "scanned" => Poll::Pending { scanned: true },
            "soon" => Poll::TooSoon,
            "denied" => Poll::Denied,
            "approved" => {
                self.close(code.user_code()).await;
                Poll::Granted(granted()?)
            }
            "taken" => Poll::Repeated(granted()?.token),
            _ => Poll::Expired,
        })
    }

    async fn note_client_token(&self, token: &Issued, app: &AppId) -> Result<()> {
        let until = token.expires_at + 2 * MAX_LEEWAY.as_secs() as i64;
        let of_client = script::NOTE_CLIENT.on(&[&name::users_of_client(&token.app)]).arg(packed::user(&token.user));
        let of_user = script::NOTE_CLIENT.on(&[&name::clients(&token.user)]).arg(format!("{} {app}", token.app));
        let now = (self.clock)().timestamp();
        // An end that finds no note would leave the token alive, also after a failover.
        let note = |note: Call| self.link.run_confirmed::<u8>("note_client", note.arg(until).arg(now));
        Ok(try_join(note(of_client), note(of_user)).await.map(drop)?)
    }

    async fn users_of_client(&self, client: &AppId, from: i64, most: usize) -> Result<Vec<(UserId, i64)>> {
        let asked = Call::of("ZRANGE", name::users_of_client(client));
        let asked = asked.arg(from).arg("+inf").arg("BYSCORE").arg("LIMIT").arg(0).arg(most).arg("WITHSCORES");
        let users: Vec<(Vec<u8>, f64)> = self.link.run("users_of_client", asked).await?;
        users.iter().map(|(user, until)| Ok((packed::read_user(user)?, *until as i64))).collect()
    }
}

impl Redis {
    /// Ends the user's tokens of the clients whose approvals came through this app, up to `last`, or up to now.
    pub(super) async fn end_clients_of(&self, user: &UserId, app: &AppId, last: Option<i64>) -> Result<()> {
        let asked = Call::of("ZRANGE", name::clients(user)).arg(0).arg(-1);
        let noted: Vec<String> = self.link.run("clients_of", asked).await?;
        let of_app = noted.iter().filter_map(|note| note.split_once(' ').filter(|(_, other)| *other == app.as_str()));
        for (client, _) in of_app {
            let client = client.parse().map_err(|_| unreadable("a user's pages"))?;
            self.end_in_one_app(user, &client, last).await?;
        }
        Ok(())
    }

    /// Counts an open request of an address. If it is one too many, it is not counted, and the answer is when the
    /// oldest expires. Counted first, so that the bound holds however many come at the same time.
    async fn count_open(&self, address: &str, digest: &str) -> Result<Option<Duration>> {
        let (key, now) = (name::open_devices(address), (self.clock)().timestamp());
        let until = now + DEVICE_TTL.as_secs() as i64;
        let call = Call::at(&key).cmd("ZREMRANGEBYSCORE").arg(&key).arg("-inf").arg(now);
        let call = call.cmd("ZADD").arg(&key).arg(until).arg(digest);
        let call = call.cmd("EXPIRE").arg(&key).arg(DEVICE_TTL.as_secs()).cmd("ZCARD").arg(&key);
        let call = call.cmd("ZRANGE").arg(&key).arg(0).arg(0).arg("WITHSCORES");
        type Counted = (Value, Value, Value, usize, (String, f64));
        let (_, _, _, open, (_, oldest)): Counted = self.link.run("open_device", call).await?;
        if open <= MOST_OPEN {
            return Ok(None);
        }
        self.uncount_open(address, digest).await?;
        Ok(Some(Duration::from_secs((oldest as i64 - now).max(1) as u64)))
    }

    /// A count that stays expires with its request.
    async fn uncount_open(&self, address: &str, digest: &str) -> Result<()> {
        Ok(self.link.run("close_device", Call::of("ZREM", name::open_devices(address)).arg(digest)).await?)
    }

    /// Counts a request as open no more. What has ended it stands, so nobody is told of a failure: the count expires by
    /// itself.
    async fn close(&self, code: &UserCode) {
        let asked = Call::of("HMGET", name::device(code)).arg("counted").arg("digest");
        type Counted = (Option<String>, Option<String>);
        if let Ok((Some(counted), Some(digest))) = self.link.run::<Counted>("close_device", asked).await {
            _ = self.uncount_open(&counted, &digest).await;
        }
    }
}

fn device(code: &UserCode, step: &str) -> Call {
    script::DEVICE.on(&[&name::device(code)]).arg(step)
}

fn found(told: Vec<String>) -> Option<FoundDevice> {
    let [client, app, address, user_agent, choices, right, at, left, approver]: [String; 9] = told.try_into().ok()?;
    let mut words = choices.split(' ').map(str::to_owned);
    let numbers = (!right.is_empty()).then(|| [(); 3].map(|()| words.next().unwrap_or_default()));
    Some(FoundDevice {
        request: DeviceRequest {
            client: client.parse().ok()?,
            app: app.parse().ok()?,
            counted_by: address.clone(),
            address,
            user_agent,
            numbers: numbers.map(|numbers| (numbers, right)),
        },
        requested_at: at.parse().ok()?,
        expires_in: Duration::from_millis(left.parse().ok()?),
        approver: (!approver.is_empty()).then_some(Approver(approver)),
    })
}

fn granted(client: &AppId, of_token: &[String]) -> Option<Grant> {
    let [user, id, issued_at, expires_at, claims] = of_token else { return None };
    let token = Issued {
        user: user.parse().ok()?,
        app: client.clone(),
        id: id.parse().ok()?,
        issued_at: issued_at.parse().ok()?,
        expires_at: expires_at.parse().ok()?,
    };
    Some(Grant { token, claims: claims.clone() })
}
