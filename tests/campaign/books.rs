//! Everything that has happened: the answers, the faults with their times, and the findings.

use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use tokio::time::sleep;

use crate::support::prelude::*;
use crate::{model::Message, plan::Plan, world::REPLICAS};

/// A fault may excuse this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Redis,
    WeChat,
    Accounts,
    /// A replica of wxmint was killed, so requests that it had taken are lost.
    Replica,
    /// Nothing is excused.
    Nothing,
}

impl Part {
    /// The part whose fault excuses this answer; `None` if nothing needs an excuse.
    fn behind(said: &Message) -> Option<Self> {
        match said {
            Message::Login { .. } | Message::Done => None,
            Message::Nothing(_) => Some(Self::Replica),
            Message::Problem { code, .. } => match code.as_str() {
                "store_unavailable" => Some(Self::Redis),
                "wechat_unavailable"
                | "wechat_misconfigured"
                | "code_used"
                | "code_invalid"
                | "rate_limited" => Some(Self::WeChat),
                "accounts_unavailable" => Some(Self::Accounts),
                // The model judges these.
                "binding_required" | "already_bound" | "invalid_token" | "decryption_failed" => {
                    None
                }
                _ => Some(Self::Nothing),
            },
        }
    }
}

/// One time that a fault was tried.
#[derive(Debug, Clone)]
pub(crate) struct Played {
    pub(crate) name: &'static str,
    pub(crate) part: Part,
    pub(crate) began: Instant,
    /// When everything around wxmint was well again.
    pub(crate) ended: Option<Instant>,
    /// When the requests were sent that got no proper answer because of it, in the order of the answers.
    pub(crate) refused: Vec<Instant>,
}

#[derive(Default)]
pub(crate) struct Pages {
    pub(crate) played: Vec<Played>,
    pub(crate) findings: Vec<String>,
    pub(crate) unexplained: Vec<String>,
    pub(crate) counts: BTreeMap<&'static str, u64>,
    pub(crate) problems: BTreeMap<String, u64>,
    /// The memory of each replica, in KiB.
    pub(crate) samples: Vec<[u64; REPLICAS]>,
    pub(crate) slowest: Duration,
}

pub(crate) struct Books {
    pub(crate) began: Instant,
    grace: Duration,
    pages: Mutex<Pages>,
}

/// Without an improper answer for so long, a fault is over.
const CALM: Duration = Duration::from_secs(2);

/// Improper answers without a fault that are shown at once.
const SHOWN: usize = 10;

/// Findings that are kept word by word.
const MOST_FINDINGS: usize = 100;

impl Books {
    pub(crate) fn open(plan: &Plan) -> Self {
        Self {
            began: Instant::now(),
            grace: plan.grace,
            pages: Mutex::default(),
        }
    }

    pub(crate) fn pages(&self) -> MutexGuard<'_, Pages> {
        locked(&self.pages)
    }

    /// Notes that something has happened that must not.
    pub(crate) fn find(&self, what: String) {
        let mut pages = self.pages();
        tell(&format!(
            "FOUND after {:.1} s: {what}",
            self.began.elapsed().as_secs_f64()
        ));
        if pages.findings.len() < MOST_FINDINGS {
            pages.findings.push(what);
        }
    }

    /// Enters the answer to a request that was sent at `sent`. True if it is clear what was done.
    pub(crate) fn enter(&self, what: &'static str, said: &Message, sent: Instant) -> bool {
        let (now, part) = (Instant::now(), Part::behind(said));
        let mut pages = self.pages();
        *pages.counts.entry(what).or_default() += 1;
        if let Message::Problem { code, .. } = said {
            *pages.problems.entry(code.clone()).or_default() += 1;
        }
        pages.slowest = pages.slowest.max(now - sent);
        let Some(part) = part else { return true };
        if !pages.excuse(part, sent, now, self.grace) {
            let [at, took] = [sent - self.began, now - sent].map(|time| time.as_secs_f64());
            let text = format!(
                "{what}, sent after {at:.2} s, answered {took:.2} s later: {said:?}, and nothing is wrong with {part:?}"
            );
            if pages.unexplained.len() < SHOWN {
                tell(&format!("UNEXPLAINED {text}"));
            }
            pages.unexplained.push(text);
        }
        false
    }

    /// A fault begins; returns its number for [`Self::end`].
    pub(crate) fn begin(&self, name: &'static str, part: Part) -> usize {
        tell(&format!(
            "{:7.1} s  {name} …",
            self.began.elapsed().as_secs_f64()
        ));
        let mut pages = self.pages();
        pages.played.push(Played {
            name,
            part,
            began: Instant::now(),
            ended: None,
            refused: Vec::new(),
        });
        pages.played.len() - 1
    }

    pub(crate) fn end(&self, number: usize) {
        let mut pages = self.pages();
        let played = &mut pages.played[number];
        played.ended = Some(Instant::now());
        let [now, took] = [self.began, played.began].map(|since| since.elapsed().as_secs_f64());
        tell(&format!(
            "{now:7.1} s  {} ended after {took:.1} s, {} refused",
            played.name,
            played.refused.len()
        ));
    }

    /// Waits until answers are proper again after a fault, which must be soon.
    pub(crate) async fn recovers(&self, number: usize) {
        loop {
            let Played {
                name,
                ended,
                refused,
                ..
            } = self.pages().played[number].clone();
            let ended = ended.expect("a fault that has ended");
            if refused.last().is_none_or(|last| last.elapsed() > CALM) && ended.elapsed() > CALM {
                return;
            }
            if ended.elapsed() > self.grace + CALM {
                return self.find(format!(
                    "{name} was over, and answers were not proper {:?} later",
                    self.grace
                ));
            }
            sleep(CALM / 10).await;
        }
    }

    /// Whether a fault of this part is on, or ended less than `within` ago.
    pub(crate) fn is_troubled(&self, parts: &[Part], within: Duration) -> bool {
        let recent = |played: &Played| played.ended.is_none_or(|ended| ended.elapsed() < within);
        self.pages()
            .played
            .iter()
            .any(|played| parts.contains(&played.part) && recent(played))
    }
}

impl Pages {
    /// Puts an improper answer down to a fault.
    fn excuse(&mut self, part: Part, sent: Instant, answered: Instant, grace: Duration) -> bool {
        let of_part = |played: &&mut Played| {
            part != Part::Nothing
                && played.part == part
                && played.began <= answered
                && played.ended.is_none_or(|ended| sent <= ended + grace)
        };
        let played = self.played.iter_mut().rev().find(of_part);
        played.map(|played| played.refused.push(sent)).is_some()
    }
}
