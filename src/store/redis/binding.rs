//! The steps of the binding protocol in Redis.

use std::{
    array,
    collections::HashMap,
    fmt::{self, Display},
    sync::LazyLock,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use redis::{Cmd, FromRedisValue, ParsingError, Value};

use super::{
    super::{AttemptId, BindingState, Bindings, Bound, Decision, ENDS_KEPT, Intent, IntentOutcome, Person, Result},
    Redis, Script, flag, name, script, unreadable,
};
use crate::ids::{UnionId, UserId};

static GET_BINDING_STATE: LazyLock<Script> = script!("binding_state", "get_binding_state");
static INTEND: LazyLock<Script> = script!("binding_state", "intend");
static ADMIT: LazyLock<Script> = script!("admit");
static SETTLE: LazyLock<Script> = script!("binding_state", "settle");
static LEAVE: LazyLock<Script> = script!("binding_state", "leave");
static DISMISS: LazyLock<Script> = script!("end_app", "dismiss");
static SET_FREE: LazyLock<Script> = script!("binding_state", "set_free");
static CLAIM_UNIONID: LazyLock<Script> = script!("claim_unionid");
static MOVE_UNIONID: LazyLock<Script> = script!("move_unionid");
static LINK_UNIONID: LazyLock<Script> = script!("link_unionid");

/// The fields of a user's list that name nobody.
pub(super) const NO_PEOPLE: [&str; 3] = ["first", "block", "floor"];

/// The answer of `binding_state.lua`, with spaces between its members: kind, generation, user, three members that depend on the
/// kind, and whether replicas have yet to confirm a binding. The answer to a login also has the second in which it was recorded.
pub(super) struct Answer(String);

impl FromRedisValue for Answer {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        String::from_redis_value(value).map(Self)
    }
}

impl Answer {
    /// The wait in microseconds, if the login was refused by a limit.
    pub(super) fn limited(&self) -> Option<u64> {
        self.0.strip_prefix("limited ")?.parse().ok()
    }

    /// When a login was recorded.
    pub(super) fn at(&self) -> Result<DateTime<Utc>> {
        let second = self.0.rsplit(' ').next().and_then(|second| second.parse().ok());
        second.and_then(|second| DateTime::from_timestamp(second, 0)).ok_or_else(|| unreadable("the time"))
    }

    /// Whether a binding was made, and replicas have not confirmed it yet.
    fn is_unconfirmed(&self) -> bool {
        self.0.split(' ').nth(6) == Some("1")
    }

    pub(super) fn binding_state(&self) -> Result<BindingState> {
        let mut members = self.0.split(' ');
        let [kind, generation, user, one, other, blocked] = array::from_fn(|_| members.next().unwrap_or_default());
        let generation = generation.parse().map_err(|_| unreadable("a binding's generation"))?;
        if kind == "free" {
            return Ok(BindingState::Free { generation, dissolved: one == "1" });
        }
        let user = parse_user(user)?;
        Ok(match kind {
            "bound" => BindingState::Bound(Bound {
                generation,
                user,
                unionid: one.parse().ok(),
                new: other == "1",
                blocked: blocked == "1",
            }),
            "intended" => BindingState::Intended {
                generation,
                intent: Intent { user, made: one == "1", by_unionid: other == "1" },
            },
            _ => BindingState::Leaving { generation, user, since: one.parse().ok() },
        })
    }
}

#[async_trait(?Send)]
impl Bindings for Redis {
    async fn binding_state(&self, person: &Person, attempt: &AttemptId) -> Result<BindingState> {
        let mut script = GET_BINDING_STATE.on(&[&name::binding(person)]);
        script.text(attempt);
        self.certain(person, attempt, self.link.run("binding_state", &script).await?).await
    }

    async fn intend(
        &self,
        person: &Person,
        generation: u64,
        intent: &Intent,
        attempt: &AttemptId,
    ) -> Result<BindingState> {
        let mut script = INTEND.on(&[&name::binding(person)]);
        script
            .text(attempt)
            .arg(generation)
            .arg(intent.user.as_str())
            .arg(flag(intent.made))
            .arg(flag(intent.by_unionid));
        self.certain(person, attempt, self.link.run("intend", &script).await?).await
    }

    async fn admit(
        &self,
        user: &UserId,
        person: &Person,
        generation: u64,
        by_unionid: bool,
        per_app: u32,
    ) -> Result<Decision> {
        let mut script = ADMIT.on(&[&name::user(user), &name::gone(user)]);
        script
            .text(entry(person))
            .arg(generation)
            .text(format_args!("{}:", person.app))
            .arg(per_app)
            .arg(flag(by_unionid));
        let (sign, first): (String, String) = self.link.run_confirmed_in_cluster("admit", &script).await?;
        match sign.as_str() {
            "+" => Ok(Decision::Admitted { first: first == "1" }),
            "f" => Ok(Decision::Full),
            "d" => Ok(Decision::Deserted),
            "b" => Ok(Decision::Blocked),
            "-" => Ok(Decision::Dismissed),
            _ => Err(unreadable("a user's list")),
        }
    }

    async fn settle(
        &self,
        person: &Person,
        generation: u64,
        outcome: IntentOutcome,
        attempt: &AttemptId,
    ) -> Result<BindingState> {
        let (word, new) = match outcome {
            IntentOutcome::Bound { new } => ("bound", new),
            IntentOutcome::Dropped => ("dropped", false),
        };
        let mut script = SETTLE.on(&[&name::binding(person)]);
        script.text(attempt).arg(generation).arg(word).arg(flag(new));
        script.arg((self.clock)().timestamp_millis()).arg(flag(self.link.confirms()));
        match outcome {
            IntentOutcome::Bound { .. } => {
                let answer = self.link.run_confirmed("settle", &script).await?;
                self.confirmed(person, answer).await
            }
            IntentOutcome::Dropped => self.certain(person, attempt, self.link.run("settle", &script).await?).await,
        }
    }

    async fn leave(&self, person: &Person, bound: &Bound, attempt: &AttemptId) -> Result<BindingState> {
        let mut script = LEAVE.on(&[&name::binding(person), &name::session(person)]);
        script.text(attempt).arg(bound.user.as_str()).arg(bound.generation);
        script.arg(self.latest_second().await?);
        self.link.run_confirmed::<Answer>("leave", &script).await?.binding_state()
    }

    async fn dismiss(&self, user: &UserId, person: &Person, generation: u64, since: Option<i64>) -> Result<()> {
        let mut script = DISMISS.on(&[&name::ends(user), &name::user(user), &name::gone(user)]);
        script
            .text(entry(person))
            .arg(generation)
            .arg(person.app.as_str())
            .arg(ENDS_KEPT.as_secs())
            .arg(since.map(|second| second.to_string()).unwrap_or_default());
        let unpublished: String = self.link.run_confirmed("dismiss", &script).await?;
        self.publish_app(user, &person.app, &unpublished).await
    }

    async fn set_free(&self, person: &Person, generation: u64, attempt: &AttemptId) -> Result<BindingState> {
        let mut script = SET_FREE.on(&[&name::binding(person)]);
        script.text(attempt).arg(generation);
        self.link.run_confirmed::<Answer>("set_free", &script).await?.binding_state()
    }

    async fn people_of(&self, user: &UserId) -> Result<Option<Vec<Person>>> {
        let mut asked = redis::pipe();
        let key = name::user(user).to_string();
        asked.hgetall(&key).hlen(name::gone(user).to_string());
        let (list, gone): (HashMap<String, String>, u64) = self.link.query("people_of", &key, &asked).await?;
        let admitted = list.keys().filter(|name| !NO_PEOPLE.contains(&name.as_str()));
        let admitted = admitted.map(|name| person_of(name)).collect::<Result<Vec<_>>>()?;
        Ok((gone > 0 || !admitted.is_empty()).then_some(admitted))
    }

    async fn claim_unionid(&self, unionid: &UnionId, candidate: Option<&UserId>) -> Result<Option<UserId>> {
        let mut script = CLAIM_UNIONID.on(&[&name::union(unionid)]);
        script.arg(candidate.map_or("", UserId::as_str));
        let user: Option<String> = match candidate {
            Some(_) => self.link.run_confirmed_in_cluster("claim_unionid", &script).await?,
            None => self.link.run("claim_unionid", &script).await?,
        };
        user.as_deref().map(parse_user).transpose()
    }

    async fn move_unionid(&self, unionid: &UnionId, from: &UserId, to: &UserId) -> Result<UserId> {
        let mut script = MOVE_UNIONID.on(&[&name::union(unionid)]);
        script.arg(from.as_str()).arg(to.as_str());
        let user: String = self.link.run_confirmed_in_cluster("move_unionid", &script).await?;
        parse_user(&user)
    }

    async fn link_unionid(
        &self,
        person: &Person,
        user: &UserId,
        unionid: &UnionId,
        conflict: Option<&UserId>,
    ) -> Result<bool> {
        let mut script = LINK_UNIONID.on(&[&name::binding(person)]);
        script.arg(user.as_str()).arg(unionid.as_str()).arg(conflict.map_or("", UserId::as_str));
        let news: u8 = self.link.run("link_unionid", &script).await?;
        Ok(news == 1)
    }
}

impl Redis {
    /// Where a person stands. If that is a binding that replicas have not confirmed yet, they do so first: whoever made it may
    /// have been told that it failed.
    pub(super) async fn certain(&self, person: &Person, attempt: &AttemptId, answer: Answer) -> Result<BindingState> {
        if !answer.is_unconfirmed() {
            return answer.binding_state();
        }
        let mut script = GET_BINDING_STATE.on(&[&name::binding(person)]);
        script.text(attempt);
        let answer = self.link.run_confirmed("binding_state", &script).await?;
        self.confirmed(person, answer).await
    }

    /// What replicas have confirmed just now need not be confirmed again. A mark that stays costs the next login a wait.
    async fn confirmed(&self, person: &Person, answer: Answer) -> Result<BindingState> {
        if answer.is_unconfirmed() {
            let key = name::binding(person).to_string();
            self.link.tell(&key, Cmd::hdel(&key, "unconfirmed")).await;
        }
        answer.binding_state()
    }
}

/// A person as a field of a user's list. Neither an AppID nor an openid can contain the separator.
fn entry(person: &Person) -> impl Display {
    fmt::from_fn(|f| write!(f, "{}:{}", person.app, person.openid.as_str()))
}

pub(super) fn person_of(entry: &str) -> Result<Person> {
    let (app, openid) = entry.split_once(':').ok_or_else(|| unreadable("a user's list"))?;
    let (Ok(app), Ok(openid)) = (app.parse(), openid.parse()) else { return Err(unreadable("a user's list")) };
    Ok(Person { app, openid })
}

pub(super) fn parse_user(text: &str) -> Result<UserId> {
    text.parse().map_err(|_| unreadable("a user id"))
}
