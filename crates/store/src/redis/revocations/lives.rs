//! The lives of tokens, which are noted in the store: a revocation is kept for as long as a token
//! that it names may be left.

use std::collections::BTreeMap;
use std::{cell::RefCell, fmt, rc::Rc, sync::Arc, time::Duration, time::Instant as Moment};

use chrono::{DateTime, Utc};
use wxmint_redis_link::{Call, RedisClient, RedisUrl};
use wxmint_verify::LONGEST_LIFE;

use crate::redis::{KeptTexts, StoreClock, name, script};
use crate::{AttemptId, REVOCATIONS_KEPT, Result};

/// How often a process notes the life of the tokens that it issues.
pub(crate) const LIFE_NOTED_EVERY: Duration = Duration::from_mins(5);
/// How long a noted life counts without being noted again. It is much longer than
/// [`LIFE_NOTED_EVERY`], because Redis may be unreachable meanwhile.
const LIFE_HOLDS: Duration = Duration::from_hours(1);

/// The lives of tokens in seconds, each with the last second in which such a token may be left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lives(BTreeMap<u64, i64>);

impl From<BTreeMap<u64, i64>> for Lives {
    fn from(lives: BTreeMap<u64, i64>) -> Self {
        Self(lives)
    }
}

impl Lives {
    /// The longest life of a token that may be left at that second; [`LONGEST_LIFE`] if no life is
    /// known.
    pub fn longest(&self, second: i64) -> Duration {
        let left = self
            .0
            .iter()
            .filter(|(_, last)| **last >= second)
            .map(|(life, _)| *life);
        if self.0.is_empty() {
            LONGEST_LIFE
        } else {
            Duration::from_secs(left.max().unwrap_or_default())
        }
    }

    /// Whether this life is noted up to the second `last` or longer.
    pub fn has(&self, life: Duration, last: i64) -> bool {
        self.0
            .get(&life.as_secs())
            .is_some_and(|held| *held >= last)
    }

    /// Merges the lives of `others`, and drops the lives that ended before `second`.
    pub fn take_on(&mut self, others: &Self, second: i64) {
        for (life, last) in &others.0 {
            let held = self.0.entry(*life).or_insert(*last);
            *held = (*held).max(*last);
        }
        self.0.retain(|_, last| *last >= second);
    }

    /// The lives that `others` lacks, or has for a shorter time.
    #[must_use]
    pub fn missing_from(&self, others: &Self) -> Self {
        let is_missing =
            |(life, last): &(&u64, &i64)| others.0.get(*life).is_none_or(|held| held < *last);
        Self(
            self.0
                .iter()
                .filter(is_missing)
                .map(|(life, last)| (*life, *last))
                .collect(),
        )
    }

    /// Whether no life is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(in crate::redis) fn pairs(&self) -> impl Iterator<Item = (u64, i64)> {
        self.0.iter().map(|(life, last)| (*life, *last))
    }
}

/// Revocations may be missing since `since`, because Redis had no life of tokens then: it is new,
/// or was emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PossibleLoss {
    /// In seconds since 1970.
    pub since: i64,
    /// Whether a process has seen that Redis held revocations before.
    pub is_certain: bool,
}

/// The suffix of a stored possible loss that is certain.
const LOST: &str = " lost";

impl fmt::Display for PossibleLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{}",
            self.since,
            if self.is_certain { LOST } else { "" }
        )
    }
}

impl PossibleLoss {
    pub(in crate::redis) fn read(text: &str) -> Option<Self> {
        let since = text.strip_suffix(LOST);
        Some(Self {
            since: since.unwrap_or(text).parse().ok()?,
            is_certain: since.is_some(),
        })
    }
}

pub(in crate::redis) type NotedLife = (Arc<RedisUrl>, Duration, DateTime<Utc>);

/// The lives of tokens that the store knows. A store without any life is new or was emptied, and
/// may lack revocations: so the mark of this Redis and the possible loss are noted with the lives.
#[derive(Clone)]
pub struct TokenLives {
    link: Rc<RedisClient>,
    clock: StoreClock,
    texts: KeptTexts,
    noted: Rc<RefCell<Option<NotedLife>>>,
    known: Rc<RefCell<Lives>>,
}

impl TokenLives {
    pub(in crate::redis) fn new(
        link: Rc<RedisClient>,
        clock: StoreClock,
        texts: KeptTexts,
        noted: Rc<RefCell<Option<NotedLife>>>,
        known: Rc<RefCell<Lives>>,
    ) -> Self {
        Self {
            link,
            clock,
            texts,
            noted,
            known,
        }
    }

    /// Notes the life of the tokens that this process issues, before it issues any. A revocation of
    /// a user's tokens is kept for the longest noted life of which tokens may be left, so that it
    /// is kept long enough even after the setting was shortened. Does nothing if the life was noted
    /// less than 5 minutes ago.
    pub async fn note(&self, life: Duration) -> Result<()> {
        let now = self.clock.now();
        let url = self.link.access.url();
        let is_noted = match &*self.noted.borrow() {
            None => false,
            Some((at_url, noted, at)) => {
                let since = (now - at).to_std();
                let is_fresh = since.is_ok_and(|since| since < LIFE_NOTED_EVERY);
                Arc::ptr_eq(at_url, &url) && *noted >= life && is_fresh
            }
        };
        if is_noted {
            return Ok(());
        }
        self.note_again(life, &Lives::default()).await
    }

    /// As [`Self::note`], but always writes, together with the lives that were `known` before,
    /// because the notes may be lost. A store without any life is new or was emptied: that is noted
    /// as a [`PossibleLoss`].
    pub async fn note_again(&self, life: Duration, known: &Lives) -> Result<()> {
        let now = self.clock.now();
        self.write(Some(life), known).await?;
        self.noted
            .replace(Some((self.link.access.url(), life, now)));
        Ok(())
    }

    /// Notes lives that were known before, because the store may have lost them.
    pub async fn restore(&self, known: &Lives) -> Result<()> {
        self.write(None, known).await
    }

    async fn write(&self, life: Option<Duration>, known: &Lives) -> Result<()> {
        let script = script::NOTE_LIFE
            .on(&[name::LIVES, name::MARK, name::POSSIBLE_LOSS])
            .arg(self.clock.now().timestamp());
        let script = script.arg(
            life.map(|life| life.as_secs().to_string())
                .unwrap_or_default(),
        );
        let script = script
            .arg(LIFE_HOLDS.as_secs())
            .arg(AttemptId::random().to_string())
            .arg(REVOCATIONS_KEPT.as_secs());
        let script = known
            .pairs()
            .fold(script, |script, (life, last)| script.arg(life).arg(last));
        self.link.run::<u8>("note_life", script).await?;
        Ok(())
    }

    /// Whether `known` has this life, noted recently enough to count until the next note.
    pub fn knows(&self, life: Duration, known: &Lives) -> bool {
        let lasts = (life + LIFE_HOLDS).saturating_sub(LIFE_NOTED_EVERY);
        known.has(life, self.clock.now().timestamp() + lasts.as_secs() as i64)
    }

    /// Notes how long a site can refresh the tokens of a login. Revocations are dated without
    /// regard to this, because verifiers never see refresh tokens.
    pub async fn note_renewals(&self, life: Duration) -> Result<()> {
        let script = script::NOTE_LIFE
            .on(&[name::RENEWALS])
            .arg(self.clock.now().timestamp());
        let script = script
            .arg(life.as_secs())
            .arg(LIFE_HOLDS.as_secs())
            .arg("")
            .arg(0);
        self.link.run::<u8>("note_life", script).await?;
        Ok(())
    }

    /// How long ago the oldest login may be that still has a token or a refresh token.
    pub async fn longest_login(&self) -> Result<Duration> {
        let asked = Call::at(name::LIVES).cmd("TIME");
        let asked = asked
            .cmd("HGETALL")
            .arg(name::LIVES)
            .cmd("HGETALL")
            .arg(name::RENEWALS);
        type Lasting = BTreeMap<u64, i64>;
        let sent = Moment::now();
        let (time, lives, renewals): ((u64, u64), Lasting, Lasting) =
            self.link.run("longest_login", asked).await?;
        let second = (self.clock.note_reading(sent, time) / 1_000_000) as i64;
        let second = second.min(self.clock.now().timestamp());
        let renewals = renewals
            .into_iter()
            .filter(|(_, last)| *last >= second)
            .map(|(life, _)| life)
            .max();
        let renewals = Duration::from_secs(renewals.unwrap_or_default());
        Ok(Lives::from(lives).longest(second).max(renewals))
    }

    /// The mark that identifies this Redis and changes if it was emptied; and since when it may
    /// lack revocations.
    pub async fn mark(&self) -> Result<(Option<String>, Option<PossibleLoss>)> {
        let asked = Call::of("GET", name::MARK)
            .cmd("GET")
            .arg(name::POSSIBLE_LOSS);
        let (mark, possible_loss): (Option<String>, Option<String>) =
            self.link.run("mark", asked).await?;
        Ok((mark, possible_loss.as_deref().and_then(PossibleLoss::read)))
    }

    /// Notes that revocations were lost at this second.
    pub async fn note_loss(&self, second: i64) -> Result<()> {
        self.texts
            .keep(
                name::POSSIBLE_LOSS,
                &PossibleLoss {
                    since: second,
                    is_certain: true,
                }
                .to_string(),
                REVOCATIONS_KEPT,
            )
            .await
    }

    /// The longest life of tokens that this thread knows of, its own or another replica's.
    pub(super) fn longest(&self) -> Duration {
        let own = self.noted.borrow().as_ref().map(|(_, life, _)| *life);
        let known = self.known.borrow();
        let known = known.longest(self.clock.now().timestamp());
        own.map_or(known, |own| {
            if self.known.borrow().is_empty() {
                own
            } else {
                known.max(own)
            }
        })
    }

    /// Remembers the lives that were just read in the store.
    pub(super) fn learn(&self, lives: Lives) {
        self.known.replace(lives);
    }
}
