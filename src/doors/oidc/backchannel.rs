//! OpenID Connect Back-Channel Logout 1.0: if logins of a user are revoked, wxmint tells each site
//! that has a `backchannel_logout_uri`. So the site closes its own sessions at once and not when it
//! renews its tokens.
//!
//! Logouts wait in Redis, in a queue for each client. The request that revokes a single login
//! queues its logout. Revocations of all logins of a user are read from the stream that verifiers
//! read. One replica at a time reads the stream and tells the sites. If it dies, another replica
//! continues and may tell a site twice. Each site has a task of its own, so a slow site does not
//! delay others.

mod queue;

use std::{cell::RefCell, collections::HashSet, rc::Rc, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request, Url};
use serde_json::json;
use wxmint_ids::ClientId;
use wxmint_keys::token::new_token_id;
use wxmint_store::{Store, StoreError};
use wxmint_telemetry::audit::{Activity, Event, Origin};
use wxmint_upstream::{FetchError, Tls, Upstream};

use self::queue::{AT_ONCE, Cursor, Queue};
pub(super) use self::queue::{Logout, queue};
use super::{CATALOG, Oidc, family};
use crate::clock::now;
use crate::findings::{Finding, count};
use crate::oauth::clients::{Client, Clients, LogoutReceiver};
use crate::{issuer::Issuer, login::LoginParts};

/// How often the stream of revocations and the queues are read.
const LOOKS: Duration = Duration::from_secs(1);
/// The lease of the replica that tells the sites: its key, and its lifetime. The replica renews it
/// each time that it reads.
const TURN: (&str, Duration) = ("wxmint:oidc:logout-turn", Duration::from_secs(10));
/// How long a site may take to accept a connection, and to answer altogether.
const CONNECT: Duration = Duration::from_secs(2);
const TOTAL: Duration = Duration::from_secs(5);
/// The lifetime of a logout token in seconds. A site reads it once (section 2.4 recommends two
/// minutes at most).
const TOKEN_TTL: i64 = 120;
/// The shortest and the longest pause before the next try, in seconds. In between, the pause equals
/// the time that the logout has waited, which doubles that time.
const PAUSES: [i64; 2] = [5, 300];
/// After how many seconds a logout that the site has not accepted is dropped.
const GIVEN_UP_AFTER: i64 = 3600;
/// After how many seconds of waiting the doctor reports a logout.
const LATE: i64 = 60;
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
const TOLD: Activity = Activity::at_door("Site Logout Notice", "site_logout_notice");

/// Tells sites of logouts for as long as the process runs. Does not use Redis if no client has a
/// logout address.
pub(super) async fn follow(door: Arc<Oidc>, issuer: Arc<Issuer>) {
    let Ok(login) = issuer.login_parts() else {
        return;
    };
    let teller = Rc::new(Teller {
        door,
        login,
        own: family::random(),
        client: RefCell::default(),
        at_work: RefCell::default(),
    });
    let mut interval = actix_web::rt::time::interval(LOOKS);
    let mut cursor = None;
    loop {
        interval.tick().await;
        let clients = issuer.clients();
        if clients
            .iter()
            .all(|client| client.logout_receiver.is_none())
        {
            continue;
        }
        if let Err(error) = teller.look(&clients, &mut cursor).await {
            // Continues from the stored cursor, because another replica may have moved it
            // meanwhile.
            cursor = None;
            bounded!(warn, "logouts not told", %error, "sites are not told of logouts; tried again in a second");
        }
    }
}

/// The part of a process that tells sites of logouts.
struct Teller {
    door: Arc<Oidc>,
    login: LoginParts,
    /// Identifies this process in the lease.
    own: String,
    /// The HTTP client, and the addresses that it was made for.
    client: RefCell<Option<(Vec<Url>, Upstream)>>,
    /// The clients whose queues are being worked on.
    at_work: RefCell<HashSet<ClientId>>,
}

/// Why a site has not accepted a logout.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    #[error("{0}")]
    Unanswered(#[from] FetchError),
    #[error("the answer is {0}")]
    Status(u16),
    #[error("no key signs: {0}")]
    Unsigned(#[from] wxmint_verify::KeyError),
}

impl Teller {
    fn store(&self) -> &Store {
        &self.login.store
    }

    /// If this process holds the lease, queues what is new in the stream and works on all queues.
    async fn look(
        self: &Rc<Self>,
        clients: &Clients,
        cursor: &mut Option<Cursor>,
    ) -> Result<(), StoreError> {
        if self
            .store()
            .texts
            .keep_first(TURN.0, &self.own, TURN.1)
            .await?
            != self.own
        {
            *cursor = None;
            return Ok(());
        }
        self.store().texts.keep(TURN.0, &self.own, TURN.1).await?;
        let told: Vec<_> = clients
            .iter()
            .filter(|client| client.logout_receiver.is_some())
            .collect();
        let at = if let Some(at) = cursor.take() {
            at
        } else {
            Cursor::read(self.store()).await?
        };
        *cursor = Some(at.go_on(self.store(), &told).await?);
        let Some(http) = self.http(&told) else {
            return Ok(());
        };
        for client in told {
            if self.at_work.borrow_mut().insert(client.id.clone()) {
                let teller = Rc::clone(self);
                let client = client.clone();
                let http = http.clone();
                actix_web::rt::spawn(async move {
                    let done = teller.tell_all(&client, &http).await;
                    teller.at_work.borrow_mut().remove(&client.id);
                    if let Err(error) = done {
                        bounded!(warn, "queue of logouts", %error, "the logouts for a site could not be read or noted");
                    }
                });
            }
        }
        Ok(())
    }

    /// The HTTP client for these sites. It is made anew only if the addresses have changed, because
    /// each time the system's certificates are read.
    fn http(&self, told: &[&Client]) -> Option<Upstream> {
        let urls: Vec<Url> = told
            .iter()
            .filter_map(|client| Some(client.logout_receiver.as_ref()?.url.clone()))
            .collect();
        let mut held = self.client.borrow_mut();
        if held.as_ref().is_none_or(|(of, _)| *of != urls) {
            let made = Tls::reaching(&urls).and_then(|tls| Upstream::new(&tls, CONNECT, TOTAL));
            let made = made
                .inspect_err(|error| bounded!(warn, "logouts: no client", %error, "sites cannot be told of logouts"));
            *held = made.ok().map(|made| (urls, made));
        }
        held.as_ref().map(|(_, http)| http.clone())
    }

    /// Tells a site its due logouts until none is left.
    async fn tell_all(&self, client: &Client, http: &Upstream) -> Result<(), StoreError> {
        let Some(receiver) = &client.logout_receiver else {
            return Ok(());
        };
        let queue = Queue::of(&client.id);
        loop {
            let due = queue.due(self.store(), now().timestamp()).await?;
            let is_last = due.len() < AT_ONCE;
            let told = join_all(
                due.iter()
                    .map(|logout| self.tell(client, (receiver, http), &queue, logout)),
            )
            .await;
            let is_taken = told.into_iter().collect::<Result<Vec<bool>, _>>()?;
            // If the site accepts nothing, it is tried again at the next interval.
            if is_last || is_taken.iter().all(|is_taken| !is_taken) {
                return Ok(());
            }
        }
    }

    /// Tells a site of a logout. Returns whether the site has accepted it.
    async fn tell(
        &self,
        client: &Client,
        to: (&LogoutReceiver, &Upstream),
        queue: &Queue,
        logout: &Logout,
    ) -> Result<bool, StoreError> {
        let taken = self.post(client, to, logout).await;
        let age = now().timestamp() - logout.since;
        let reason = match taken {
            Ok(()) => {
                self.note(client, logout, "sent", None);
                queue.remove(self.store(), logout).await?;
                return Ok(true);
            }
            Err(reason) => reason,
        };
        if age >= GIVEN_UP_AFTER {
            self.note(client, logout, "given_up", Some(reason.to_string()));
            queue.remove(self.store(), logout).await?;
        } else {
            self.note(client, logout, "failed", None);
            let pause = age.clamp(PAUSES[0], PAUSES[1]);
            queue
                .put_off(self.store(), logout, now().timestamp() + pause)
                .await?;
        }
        let client_id = client.id.as_str();
        bounded!(warn, &format!("logout not taken {client_id}"), client_id, %reason, "a site has not taken a logout");
        Ok(false)
    }

    /// Posts a logout token (section 2.5). Each try has a new token, because a site may refuse a
    /// token that it has seen.
    async fn post(
        &self,
        client: &Client,
        (to, http): (&LogoutReceiver, &Upstream),
        logout: &Logout,
    ) -> Result<(), NotTaken> {
        let token = self.signed(client, logout, now())?;
        let mut request = Request::new(Method::POST, to.url.clone());
        request.headers_mut().insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        // A JWT has no character that needs form encoding.
        *request.body_mut() = Some(format!("logout_token={token}").into());
        let answer = http.fetch(request).await?;
        if answer.status.is_success() {
            Ok(())
        } else {
            Err(NotTaken::Status(answer.status.as_u16()))
        }
    }

    /// The logout token (section 2.4). It has no `nonce`, so that it cannot be mistaken for an id
    /// token.
    fn signed(
        &self,
        client: &Client,
        logout: &Logout,
        at: DateTime<Utc>,
    ) -> Result<String, wxmint_verify::KeyError> {
        let iat = at.timestamp();
        let mut claims = json!({
            "sub": logout.user,
            "aud": client.id.as_str(),
            "iat": iat,
            "exp": iat + TOKEN_TTL,
            "jti": new_token_id(),
            "events": { EVENT: {} },
        });
        if let Some(sid) = &logout.sid {
            claims["sid"] = sid.as_str().into();
        }
        self.login.minter.sign_logout(claims, at)
    }

    fn note(
        &self,
        client: &Client,
        logout: &Logout,
        outcome: &'static str,
        given_up: Option<String>,
    ) {
        self.door.count_logout(&client.id, outcome);
        if outcome == "failed" {
            return;
        }
        let refused = given_up.is_some().then_some("given_up".into());
        let event = Event::new(TOLD, Origin::default());
        Event {
            client: Some(client.id.clone()),
            user: logout.user.parse().ok(),
            refused,
            note: given_up,
            ..event
        }
        .tell();
    }
}

/// Finds the sites that accept no logouts, for the doctor.
pub(super) async fn examine(clients: &Clients, redis: Option<&Store>) -> Vec<Finding> {
    let Some(redis) = redis else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for client in clients
        .iter()
        .filter(|client| client.logout_receiver.is_some())
    {
        // The doctor's check of Redis reports why Redis does not answer.
        let Ok(late) = Queue::of(&client.id)
            .late(redis, now().timestamp() - LATE)
            .await
        else {
            continue;
        };
        if late > 0 {
            let waiting = message!(CATALOG: site_takes_no_logouts, client.id, count(late, ["logout", "次退出"]));
            found.push(Finding::warning(
                "clients",
                waiting,
                message!(CATALOG: look_at_sites_answer_in_log),
            ));
        }
    }
    found
}
