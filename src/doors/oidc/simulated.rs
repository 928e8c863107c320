//! A business with sites over many days, on a store in memory whose clock the test moves: how many revocations the feed
//! has, and how many bytes Redis would hold. `WXMINT_TEST_DAYS=30 cargo unit a_day_of_sites -- --nocapture` prints
//! a month, each day at midnight.
//!
//! The business has 1,000,000 people, 1,000 of whom are at sites. The test plays every hundredth:
//! 10,000 people and 10 at sites. Each day 1 of 100 people logs out, and 1 of 1,000 everywhere. A
//! person at a site logs in there at nine, and a proxy renews every five minutes for eight hours;
//! every fifth logs out in the evening, the others leave the login to be renewed for 30 days.

use std::cell::Cell;
use std::{env, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use redis::Value;
use wxmint_ids::UserId;
use wxmint_keys::{PrivateJwk, token::Issued};
use wxmint_redis_link::{Call, scan::Place, scan::Slots};
use wxmint_store::{Store, StoreAccess};
use wxmint_verify::Algorithm;

use super::family::{self, Families, Family, hash};
use super::renewal::Renewals;
use crate::clock::now;
use crate::issuer::caller::tests::issuer;
use crate::login::LoginParts;
use crate::oauth::clients::{Client, Clients};

const APP: &str = "wx0123456789abcdef";
const SITE: &str = "grafana";
/// How many people the test plays. Each stands for a hundred.
const PEOPLE: u32 = 10_000;
const AT_SITES: u32 = 10;
const STEP: TimeDelta = TimeDelta::minutes(5);
const STEPS: u32 = 288;
/// From nine to five.
const AT_WORK: std::ops::Range<u32> = 108..204;
/// How many bytes Redis takes for a key in addition to its name and its content.
const OF_A_KEY: usize = 90;

thread_local! {
    static AHEAD: Cell<TimeDelta> = const { Cell::new(TimeDelta::zero()) };
}

fn clock() -> DateTime<Utc> {
    now() + AHEAD.get()
}

/// The content of Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    entries: usize,
    keys: usize,
    bytes: usize,
}

struct Business {
    login: LoginParts,
    clients: Clients,
    /// The logins at the site that can be renewed, each with its refresh token.
    logins: Vec<(Family, String)>,
    drawn: u32,
}

impl Business {
    fn new() -> Self {
        let key = PrivateJwk::generate(Algorithm::Es256, now()).expect("a key");
        let mut login = issuer(&key, ("WXMINT_TOKEN_TTL", "24h"))
            .login_parts()
            .expect("a worker");
        login.store = Store::new(
            &StoreAccess::in_memory(clock),
            Duration::from_mins(1),
            clock,
            (),
        );
        let file = format!(
            r#"{{"clients":[{{"client_id":"{SITE}","name":"Grafana","appid":"{APP}","token_ttl":"10m"}}]}}"#
        );
        let clients = Clients::parse(file.as_bytes(), Duration::MAX).expect("clients");
        Self {
            login,
            clients,
            logins: Vec::new(),
            drawn: 0,
        }
    }

    fn site(&self) -> &Client {
        self.clients
            .get(&SITE.parse().expect("an id"))
            .expect("the site")
    }

    /// A number below `below` that looks drawn.
    fn draw(&mut self, below: u32) -> u32 {
        self.drawn = self
            .drawn
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        (self.drawn >> 8) % below
    }

    fn token(&self, user: &UserId, client: &str, life: TimeDelta) -> Issued {
        let issued_at = clock().timestamp();
        let expires_at = issued_at + life.num_seconds();
        let id = self.login.minter.token_id("mark", now()).expect("random");
        Issued {
            user: user.clone(),
            app: client.parse().expect("an id"),
            id,
            issued_at,
            expires_at,
        }
    }

    /// Somebody logs out of the mini program whose token is some hours old.
    async fn log_out(&mut self) {
        let user: UserId = format!("user-{}", self.draw(PEOPLE))
            .parse()
            .expect("a user");
        let left = TimeDelta::minutes(i64::from(self.draw(24 * 60)) + 1);
        self.login
            .store
            .revocations
            .revoke_token(&self.token(&user, APP, left))
            .await
            .expect("ended");
    }

    async fn log_out_everywhere(&mut self) {
        let user: UserId = format!("user-{}", self.draw(PEOPLE))
            .parse()
            .expect("a user");
        self.login
            .store
            .revocations
            .revoke_user(&user, None)
            .await
            .expect("ended");
    }

    async fn log_in_at_the_site(&mut self, number: u32) {
        let user: UserId = format!("user-{number}").parse().expect("a user");
        let first = self.token(&user, SITE, TimeDelta::minutes(10));
        let until = Some(first.issued_at + 30 * 86_400);
        let (mark, scope) = ("mark".to_owned(), "openid offline_access".to_owned());
        let family = Family {
            first,
            app: APP.parse().expect("an app"),
            mark,
            scope,
            until,
            key: hash("key"),
            is_told: false,
        };
        let shown = family::written(family.sid(), 1, "key", "secret");
        Families::of(&self.login)
            .make_room(&family)
            .await
            .expect("room");
        Families::of(&self.login)
            .keep_family(&family, hash(&shown), clock())
            .await
            .expect("kept");
        self.logins.push((family, shown));
    }

    async fn renew_all(&mut self) {
        for number in 0..self.logins.len() {
            let (family, shown) = &self.logins[number];
            let next = Renewals::of(&self.login)
                .renew_alone(family, shown, self.site())
                .await
                .expect("an answer");
            self.logins[number].1 = next.expect("renewed");
        }
    }

    /// Does the cleaning that processes of wxmint do each minute.
    async fn forget(&self) {
        let (store, mut from) = (&self.login.store, None);
        loop {
            from = store
                .revocation_stream
                .purge(from.as_deref(), 500)
                .await
                .expect("forgotten")
                .next;
            if from.is_none() {
                break;
            }
        }
        while store
            .revocation_stream
            .purge_kept_records(500)
            .await
            .expect("forgotten")
            == 500
        {}
    }

    async fn day(&mut self, has_sites: bool) {
        let (logouts, everywhere) = (PEOPLE / 100, PEOPLE / 1_000);
        for step in 0..STEPS {
            self.note_life().await;
            if has_sites && step == AT_WORK.start {
                for number in 0..AT_SITES {
                    self.log_in_at_the_site(number).await;
                }
            }
            if AT_WORK.contains(&step) {
                self.renew_all().await;
            }
            if step == AT_WORK.end {
                for (number, (family, _)) in
                    std::mem::take(&mut self.logins).into_iter().enumerate()
                {
                    if number % 5 == 0 {
                        Families::of(&self.login)
                            .revoke_family(&family)
                            .await
                            .expect("ended");
                    }
                }
            }
            for _ in 0..(logouts * (step + 1) / STEPS - logouts * step / STEPS) {
                self.log_out().await;
            }
            for _ in 0..(everywhere * (step + 1) / STEPS - everywhere * step / STEPS) {
                self.log_out_everywhere().await;
            }
            AHEAD.set(AHEAD.get() + STEP);
            self.forget().await;
        }
    }

    /// Notes the life of tokens, as each login does, so that revocations are kept longer.
    async fn note_life(&self) {
        let life = self.login.minter.ttl();
        self.login
            .store
            .token_lives
            .note(life)
            .await
            .expect("noted");
    }

    async fn held(&self) -> Held {
        let link = &self.login.store.link;
        let keys = link
            .keys_like("wxmint:*", &Place::default(), Slots::AtRest)
            .await
            .expect("keys")
            .found;
        // A doubt about what is missing ends 30 days after the start, whatever happens.
        let keys: Vec<_> = keys
            .into_iter()
            .filter(|key| !key.ends_with(":doubt"))
            .collect();
        let (mut bytes, mut entries) = (0, 0);
        for key in &keys {
            let read = if *key == "wxmint:revoked" {
                let all = Call::of("XRANGE", key)
                    .arg("-")
                    .arg("+")
                    .arg("COUNT")
                    .arg(1_000_000);
                let read: Value = link.run("read", all).await.expect("read");
                entries = match &read {
                    Value::Array(found) => found.len(),
                    _ => 0,
                };
                read
            } else if let Ok(read) = link.run::<Value>("read", Call::of("GET", key)).await {
                read
            } else {
                link.run::<Value>("read", Call::of("HGETALL", key))
                    .await
                    .expect("read")
            };
            bytes += OF_A_KEY + key.len() + length(&read);
        }
        Held {
            entries,
            keys: keys.len(),
            bytes,
        }
    }
}

fn length(value: &Value) -> usize {
    match value {
        Value::BulkString(bytes) => bytes.len(),
        Value::Array(values) => values.iter().map(length).sum(),
        _ => 0,
    }
}

async fn days(has_sites: bool, number: u32) -> Vec<Held> {
    AHEAD.set(TimeDelta::zero());
    let mut business = Business::new();
    business.note_life().await;
    let mut held = vec![business.held().await];
    for _ in 0..number {
        business.day(has_sites).await;
        held.push(business.held().await);
    }
    // From here on nobody logs in. The last token lives for a day.
    AHEAD.set(AHEAD.get() + TimeDelta::hours(24) + TimeDelta::minutes(5));
    business.forget().await;
    held.push(business.held().await);
    // The last login at a site can be renewed for 30 days.
    AHEAD.set(AHEAD.get() + TimeDelta::days(30));
    business.note_life().await;
    business.forget().await;
    held.push(business.held().await);
    held
}

#[actix_web::test]
async fn a_day_of_sites_leaves_nothing_in_the_feed_and_in_redis_once_its_tokens_have_expired() {
    let number = env::var("WXMINT_TEST_DAYS")
        .ok()
        .and_then(|days| days.parse().ok())
        .unwrap_or(2);
    let (without, with) = (days(false, number).await, days(true, number).await);
    for (day, (without, with)) in without.iter().zip(&with).enumerate() {
        let when = match day as u32 {
            day if day <= number => format!("after day {day}"),
            day if day == number + 1 => "a day later".into(),
            _ => "30 days later".into(),
        };
        eprintln!("{when}: without sites {without:?}, with sites {with:?}");
    }
    let (last, later) = (number as usize, number as usize + 1);
    for held in [&without, &with] {
        assert!(held[last].entries > 0);
        assert_eq!(held[later].entries, 0, "the feed is what it was");
    }
    // The feed has the revocations of the logins at the site that somebody has logged out of: none
    // at midnight, seven hours later.
    let more = with[last].entries.abs_diff(without[last].entries);
    assert!(more <= 5, "{more}");
    assert_eq!(
        (without[later].keys, without[later + 1].keys),
        (without[0].keys + 1, without[0].keys + 1),
        "the stream"
    );
    // Logins at sites leave the list of a client's users, and the list of a user's clients.
    let of_lists = 1 + AT_SITES as usize;
    assert!(
        with[later + 1].keys <= without[0].keys + 2 + of_lists,
        "{:?}",
        with[later + 1]
    );
}

/// The measurement of the attack in which this was found: 58 revocations of five-minute tokens,
/// beside a site whose logins can be renewed for 30 days.
#[actix_web::test]
async fn of_58_revocations_of_five_minute_tokens_none_is_left_76_minutes_later_beside_a_site_of_30_days()
 {
    AHEAD.set(TimeDelta::zero());
    let mut business = Business::new();
    let five = Duration::from_mins(5);
    let key = PrivateJwk::generate(Algorithm::Es256, now()).expect("a key");
    business.login.minter = issuer(&key, ("WXMINT_TOKEN_TTL", "5m"))
        .login_parts()
        .expect("a worker")
        .minter;
    business
        .login
        .store
        .token_lives
        .note(five)
        .await
        .expect("noted");
    business.log_in_at_the_site(0).await;
    let before = business.held().await;
    for _ in 0..58 {
        let user: UserId = format!("user-{}", business.draw(PEOPLE))
            .parse()
            .expect("a user");
        let token = business.token(&user, APP, TimeDelta::minutes(5));
        business
            .login
            .store
            .revocations
            .revoke_token(&token)
            .await
            .expect("ended");
    }
    business.renew_all().await;
    let then = business.held().await;
    AHEAD.set(TimeDelta::minutes(76));
    business.forget().await;
    let after = business.held().await;
    eprintln!(
        "before {before:?}, with 58 revocations and a renewal {then:?}, 76 minutes later {after:?}"
    );
    assert_eq!((then.entries, after.entries), (58, 0));
    // The stream, the date of the renewal, and the login's second refresh token.
    assert!(after.keys <= before.keys + 3, "{before:?} {after:?}");
}
