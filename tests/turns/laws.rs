//! These laws must hold after every turn, whatever went wrong: asked of another process of the service, which has
//! nothing in memory, and of all that the store keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use redis::{Value as Message, from_redis_value};
use serde_json::Value;
use tokio::time::Instant;
use wxmint::clock::now;
use wxmint_ids::{Person, Platform, UserId};
use wxmint_keys::{KeyRing, token::Minter};
use wxmint_redis_link::DEADLINE;
use wxmint_verify::revocations::{
    MAX_PAGE_REVOCATIONS, PAGE_LIFE, RevocationFeed, RevocationsPage,
};
use wxmint_verify::{PublishedKeys, TokenTyp, Verifier, VerifierPolicy};

use crate::answer::{Answer, claims};
use crate::house::{House, ISSUER, Setup, control, keys};
use crate::store::directly;
use crate::wechat::APPID;

pub(crate) type Held = Result<(), String>;

pub(crate) fn hold(holds: bool, law: impl FnOnce() -> String) -> Held {
    if holds { Ok(()) } else { Err(law()) }
}

/// The audiences of all tokens here.
const AUDIENCES: [&str; 3] = [ISSUER, "shop-web", "grafana"];
/// A request of a page that there never was.
const NO_REQUEST: &str = "/device/WDJB-MJHT";
/// The rest of an erased person is gone after so many milliseconds.
const LEFT_OF_ERASED: i64 = 3_600_000;

/// The verifiers that accept a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) issuer: bool,
    /// A verifier that knows the keys and has read the feed.
    pub(crate) follower: bool,
}

/// The state that another process finds after a turn.
pub(crate) struct After {
    pub(crate) house: House,
    pub(crate) tokens: BTreeMap<String, Accepted>,
    /// The tokens that there were before the request under test.
    pub(crate) before: Vec<String>,
}

impl After {
    /// Asks another process of the house about each token that was answered.
    pub(crate) async fn of(house: &House, before: Vec<String>) -> Self {
        let replica = house.replica().await;
        let jwks = replica
            .json("GET", "/.well-known/jwks.json", Value::Null)
            .await
            .done();
        let keys = PublishedKeys::read(jwks.body.as_bytes()).expect("a set of keys");
        let mut feed = RevocationFeed::of(ISSUER);
        feed.accept(&page().await, &keys, now())
            .expect("a page of this issuer");
        let verifier = Verifier::new(VerifierPolicy::new(ISSUER, AUDIENCES)).expect("a policy");
        let mut tokens = BTreeMap::new();
        for token in replica.tokens() {
            let follower = verifier
                .verify_unless_revoked(&token, &keys, &feed.revocations(), now())
                .is_ok();
            let issuer = replica.by(&token, "GET", NO_REQUEST, Value::Null).await;
            assert!([401, 403, 404].contains(&issuer.status), "{issuer:?}");
            tokens.insert(
                token,
                Accepted {
                    issuer: issuer.status != 401,
                    follower,
                },
            );
        }
        Self {
            house: replica,
            tokens,
            before,
        }
    }

    pub(crate) fn accepts(&self, token: &str) -> Held {
        let held = self.tokens[token];
        hold(held.issuer && held.follower, || {
            format!("a good token is refused: {held:?}")
        })
    }

    /// By nobody.
    pub(crate) fn refuses(&self, token: &str) -> Held {
        let held = self.tokens[token];
        hold(!held.issuer && !held.follower, || {
            format!("a revoked token is accepted: {held:?} {}", claims(token))
        })
    }

    /// All tokens of this user that there were before are refused.
    pub(crate) fn refuses_all_of(&self, user: &str) -> Held {
        let mut theirs = self
            .before
            .iter()
            .filter(|token| claims(token)["sub"] == user);
        theirs.try_for_each(|token| self.refuses(token))
    }

    /// The token that was answered.
    pub(crate) fn accepts_answer(&self, answer: &Answer) -> Held {
        self.accepts(&answer.member("access_token"))
    }

    /// The laws that hold whatever was asked.
    pub(crate) async fn laws(&self) -> Held {
        for (token, accepted) in &self.tokens {
            let agree = accepted.issuer == accepted.follower;
            hold(agree, || {
                format!(
                    "issuer and follower do not agree about a token: {accepted:?} {}",
                    claims(token)
                )
            })?;
        }
        let kept = kept().await;
        nothing_counts_for_ever(&kept)?;
        self.nobody_has_two_users().await
    }

    async fn nobody_has_two_users(&self) -> Held {
        if self.house.setup == Setup::OfOpenid {
            // Each app has users of its own.
            return Ok(());
        }
        for human in self.house.people() {
            let known = control("PUT", &format!("people/{human}"), serde_json::json!({})).await;
            let mut users = BTreeSet::new();
            for (app, account) in known["apps"].as_object().into_iter().flatten() {
                let openid = account["openid"].as_str().expect("an openid");
                if let Some(bound) = bound(app, openid).await {
                    users.insert(bound);
                }
            }
            let unionid = known["apps"][APPID]["unionid"]
                .as_str()
                .and_then(|unionid| unionid.parse().ok());
            let is_told = match unionid {
                // A conflict is noted, for an operator to decide, and blocks reach both.
                Some(unionid) => !directly()
                    .union_ids
                    .share(&unionid, &[])
                    .await
                    .expect("the store answers")
                    .is_empty(),
                None => false,
            };
            hold(users.len() < 2 || is_told, || {
                format!("{human} has two users: {users:?}")
            })?;
        }
        Ok(())
    }
}

/// The feed as it is now, in one page. Processes answer a page for a second, which is longer than a turn.
async fn page() -> String {
    let read = directly()
        .revocation_stream
        .after("", MAX_PAGE_REVOCATIONS)
        .await
        .expect("the store answers")
        .expect("a beginning");
    let iat = read.at.timestamp();
    let page = RevocationsPage {
        iss: ISSUER.to_owned(),
        iat,
        exp: iat + PAGE_LIFE.as_secs() as i64,
        after: String::new(),
        cursor: read.cursor,
        more: read.more,
        revoked: read
            .revocations
            .iter()
            .map(|ended| ended.published(ISSUER))
            .collect(),
    };
    let ring = Arc::new(KeyRing::new(keys(), now()).expect("keys"));
    let minter = Minter::new(
        ISSUER.to_owned(),
        Vec::new(),
        TokenTyp::AccessToken,
        PAGE_LIFE,
        ring,
    );
    minter.sign_page(&page, now()).expect("signed")
}

/// The user of a person.
pub(crate) async fn bound(app: &str, openid: &str) -> Option<UserId> {
    let person = Person {
        platform: Platform::WeChat,
        app: app.parse().expect("an AppID"),
        openid: openid.parse().expect("an openid"),
    };
    directly()
        .bindings
        .find(&person)
        .await
        .expect("the store answers")
        .map(|bound| bound.user)
}

/// A key of the store.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) name: String,
    /// All of its content, as text.
    pub(crate) content: String,
    /// Its rest of life in milliseconds; -1 if it stays for ever.
    pub(crate) life: i64,
}

/// Everything that the store keeps.
pub(crate) async fn kept() -> Vec<Kept> {
    let names: Vec<Vec<u8>> = scanned().await;
    let mut kept = Vec::new();
    for name in names {
        let life: i64 = one(redis::cmd("PTTL").arg(&name)).await;
        if life == -2 {
            continue;
        }
        let kind: String = one(redis::cmd("TYPE").arg(&name)).await;
        let content = match kind.as_str() {
            "string" => redis::cmd("GET").arg(&name).clone(),
            "hash" => redis::cmd("HGETALL").arg(&name).clone(),
            "zset" => redis::cmd("ZRANGE")
                .arg(&name)
                .arg(0)
                .arg(-1)
                .arg("WITHSCORES")
                .clone(),
            _ => redis::cmd("XRANGE")
                .arg(&name)
                .arg("-")
                .arg("+")
                .arg("COUNT")
                .arg(100_000)
                .clone(),
        };
        let content: Message = one(&content).await;
        let name = String::from_utf8_lossy(&name).into_owned();
        kept.push(Kept {
            name,
            content: shown(&content),
            life,
        });
    }
    kept
}

async fn scanned() -> Vec<Vec<u8>> {
    let (mut cursor, mut found) = ("0".to_owned(), Vec::new());
    loop {
        let scan = redis::cmd("SCAN")
            .arg(&cursor)
            .arg("MATCH")
            .arg("*")
            .arg("COUNT")
            .arg(1000)
            .clone();
        let (next, names): (String, Vec<Vec<u8>>) = one(&scan).await;
        found.extend(names);
        cursor = next;
        if cursor == "0" {
            return found;
        }
    }
}

async fn one<T: redis::FromRedisValue>(command: &redis::Cmd) -> T {
    let mut sent = redis::pipe();
    sent.add_command(command.clone());
    let primaries = directly().link.all_primaries().await.expect("a server");
    let mut said = primaries[0]
        .1
        .answers(&sent, Instant::now() + DEADLINE)
        .await
        .expect("the store answers");
    from_redis_value(said.remove(0)).expect("an answer of the command's kind")
}

fn shown(value: &Message) -> String {
    match value {
        Message::BulkString(bytes) => bytes.escape_ascii().to_string(),
        Message::Array(values) => values.iter().map(shown).collect::<Vec<_>>().join(" "),
        Message::Map(pairs) => pairs
            .iter()
            .map(|(name, value)| shown(name) + " " + &shown(value))
            .collect(),
        other => format!("{other:?}"),
    }
}

/// Whoever may be asked for by strangers, or counts anything, must be forgotten one day.
fn nothing_counts_for_ever(kept: &[Kept]) -> Held {
    let dates = kept
        .iter()
        .find(|key| key.name == "wxmint:{wxmint:revoked}:kept")
        .map_or("", |key| key.content.as_str());
    for key in kept.iter().filter(|key| key.life == -1) {
        hold(stays(&key.name), || {
            format!("a key stays for ever: {key:?}")
        })?;
        // Whoever has tokens of clients is forgotten by a date that is noted in one place for all.
        if let Some(user) = key
            .name
            .strip_suffix("}:clients")
            .and_then(|name| name.strip_prefix("wxmint:user:{"))
        {
            hold(dates.contains(user), || {
                format!("a user's clients stay for ever: {key:?}")
            })?;
        }
    }
    Ok(())
}

/// The store keeps for ever who has which user, and who is blocked; and the notes that belong to the whole service.
fn stays(name: &str) -> bool {
    let is_list = name.starts_with("wxmint:user:{") && name.ends_with('}');
    // These keys say whom a person has left, and who has left a user: a block finds people by them.
    let is_left = name.ends_with("}:left") || name.ends_with("}:gone");
    let is_binding = name.ends_with("}:binding");
    let is_link = name.starts_with("wxmint:union:{");
    // A revocation is forgotten by the process that looks after it, and by two clocks: that of Redis may be wrong.
    let is_end = name.ends_with("}:ends")
        || name.contains("}:ended:")
        || name.starts_with("wxmint:{wxmint:revoked}:put:");
    let is_of_clients = name.starts_with("wxmint:client:{") || name.ends_with("}:clients");
    let is_of_service = ["wxmint:revoked", "wxmint:id-key"].contains(&name)
        || name.starts_with("wxmint:{wxmint:revoked}:")
        || name.starts_with("wxmint:{platform:");
    is_list || is_left || is_binding || is_link || is_end || is_of_clients || is_of_service
}

/// Nothing names a person who was erased, unless it is gone within an hour.
pub(crate) async fn nothing_names(openid: &str) -> Held {
    // Lists hold its bytes.
    let packed = URL_SAFE_NO_PAD
        .decode(openid)
        .expect("an openid of the usual form")
        .escape_ascii()
        .to_string();
    for key in kept().await {
        let names = [openid, &packed]
            .iter()
            .any(|form| key.name.contains(form) || key.content.contains(form));
        let is_gone_soon = (0..=LEFT_OF_ERASED).contains(&key.life);
        hold(!names || is_gone_soon, || {
            format!("something names an erased person: {key:?}")
        })?;
    }
    Ok(())
}
