//! A deployment on a virtual clock: the file's history as rotators write it, and the replicas that use it.
//!
//! Times are by the true clock, unless they are a `DateTime`: those are somebody's own.

use std::{collections::BTreeMap, ops::Range};

use super::draws::Draws;
use super::verifiers::{self, Fetched};
use chrono::{DateTime, TimeDelta, Utc};
use wxmint_keys::SIGNED_WITH;
use wxmint_keys::rotation::{self, KeyLife, KeyState, RotationPolicy, RotationStep};
use wxmint_verify::Algorithm;

use crate::{Millis, SECOND, at};

const MINUTE: Millis = 60 * SECOND;
const HOUR: Millis = 60 * MINUTE;
const DAY: Millis = 24 * HOUR;

/// When the rotator runs for the first time.
const START: Millis = 1_000 * DAY;
/// From a rotator's decision until every replica uses what it wrote.
pub(crate) const RELOAD: Millis = 5 * SECOND;
/// No rotator takes longer to write what it decided.
const WRITE: Millis = 2 * SECOND;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) policy: RotationPolicy,
    /// By how much two clocks may differ.
    pub(crate) apart: Millis,
    /// Since when which algorithm is wanted.
    algorithms: Vec<(Millis, Algorithm)>,
    versions: Vec<Version>,
    replicas: Vec<Replica>,
}

/// The file from `written` on.
#[derive(Debug)]
struct Version {
    written: Millis,
    lives: Vec<KeyLife>,
}

#[derive(Debug)]
struct Replica {
    /// Its clock shows so much beyond the true time, since when; it may jump.
    clock: Vec<(Millis, Millis)>,
    /// When it has read each version. One that restarts has read the newest.
    read: Vec<Millis>,
}

/// A token as far as a verifier's keys are concerned.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) kid: String,
    pub(crate) replica: usize,
    pub(crate) issued: Millis,
    /// When a verifier with full leeway refuses it.
    pub(crate) refused_from: Millis,
}

#[derive(Clone, Copy)]
struct Run {
    task: Task,
    /// Its clock shows so much beyond the true time.
    clock: Millis,
    /// How long it takes to write.
    write: Millis,
    /// Between decision and write.
    dies: bool,
}

#[derive(Clone, Copy)]
enum Task {
    Rotate,
    /// An operator writes a key into the file that first signs so long from now.
    AddByHand(Millis, Algorithm),
    /// `keys retire`, of the newest key, if it has signed nowhere: then nobody is to notice.
    RetireUnused,
}

/// The events on a rotator's way to the file.
enum Event {
    Decide(Run),
    Write {
        run: Run,
        read: usize,
        lives: Vec<KeyLife>,
    },
}

/// The clocks of one world: all within `apart` of each other and of the true time, which verifiers have.
#[derive(Clone, Copy)]
struct Clocks {
    slowest: Millis,
    apart: Millis,
}

impl Clocks {
    fn draw(draws: &mut Draws) -> Self {
        let skew = rotation::CLOCK_SKEW.num_milliseconds();
        match draws.once_in(4) {
            // A minute on either side of the truth: two clocks differ by two, and the lead has to allow for that.
            true => Self {
                slowest: -skew,
                apart: 2 * skew,
            },
            false => Self {
                slowest: -draws.below(skew + 1),
                apart: skew,
            },
        }
    }

    fn one(self, draws: &mut Draws) -> Millis {
        match draws.below(4) {
            0 => 0,
            1 => self.slowest,
            2 => self.slowest + self.apart,
            _ => self.slowest + draws.below(self.apart + 1),
        }
    }
}

impl World {
    pub(crate) fn draw(draws: &mut Draws) -> Self {
        let clocks = Clocks::draw(draws);
        let policy = policy(draws, clocks.apart);
        let first = KeyLife {
            kid: "k0".into(),
            algorithm: policy.algorithm,
            nbf: at(START - 2 * MINUTE)
                - policy.every * i32::try_from(draws.below(3)).expect("small"),
            exp: None,
        };
        let versions = vec![Version {
            written: START - 2 * MINUTE,
            lives: vec![first],
        }];
        let mut world = Self {
            policy,
            apart: clocks.apart,
            algorithms: Vec::new(),
            versions,
            replicas: Vec::new(),
        };
        let runs = runs(draws, clocks, &policy);
        let span = START
            ..runs.last().map_or(START, |(when, _)| *when) + policy.lead.num_milliseconds() + HOUR;
        world.algorithms = (0..draws.below(4))
            .map(|_| {
                (
                    span.start + draws.below(span.end - span.start),
                    draws.one_of(&SIGNED_WITH),
                )
            })
            .collect();
        world.algorithms.sort_by_key(|(since, _)| *since);
        world.write_history(runs);
        world.replicas = (0..=draws.below(4))
            .map(|_| world.replica(draws, clocks, &span))
            .collect();
        world
    }

    /// Lets the rotators run. Whoever finds that another wrote since it read reads and decides again.
    fn write_history(&mut self, runs: Vec<(Millis, Run)>) {
        let mut queue: BTreeMap<(Millis, usize), Event> = runs
            .into_iter()
            .enumerate()
            .map(|(number, (when, run))| ((when, number), Event::Decide(run)))
            .collect();
        while let Some(((when, number), event)) = queue.pop_first() {
            match event {
                Event::Decide(run) => {
                    if let Some(lives) = self.decide(&run, when) {
                        let read = self.versions.len();
                        queue.insert(
                            (when + run.write, number),
                            Event::Write { run, read, lives },
                        );
                    }
                }
                Event::Write { run, .. } if run.dies => {}
                Event::Write { read, lives, .. } if read == self.versions.len() => {
                    self.versions.push(Version {
                        written: when,
                        lives,
                    });
                }
                Event::Write { run, .. } => drop(queue.insert((when, number), Event::Decide(run))),
            }
        }
    }

    /// Decides what is to be written, if anything.
    fn decide(&self, run: &Run, when: Millis) -> Option<Vec<KeyLife>> {
        let (now, policy) = (at(when + run.clock), self.policy_at(when));
        let mut lives = self
            .versions
            .last()
            .expect("there is a first")
            .lives
            .clone();
        match run.task {
            Task::Rotate => {}
            Task::RetireUnused => return self.retire_unused(lives, now),
            Task::AddByHand(ahead, algorithm) => {
                let nbf = rotation::whole_second(now + TimeDelta::milliseconds(ahead));
                if lives.iter().any(|life| life.nbf == nbf) {
                    return None;
                }
                lives.push(KeyLife {
                    kid: self.new_kid("i", when),
                    algorithm,
                    nbf,
                    exp: None,
                });
                lives.sort_by_key(|life| life.nbf);
            }
        }
        let step = rotation::plan(&lives, &policy, now, false).expect("a policy that fits");
        let is_nothing = step.drop.is_empty() && step.expire.is_empty() && step.publish.is_none();
        if is_nothing && matches!(run.task, Task::Rotate) {
            return None;
        }
        self.act(&mut lives, &step, when);
        Some(lives)
    }

    fn retire_unused(&self, mut lives: Vec<KeyLife>, now: DateTime<Utc>) -> Option<Vec<KeyLife>> {
        let reached = now + TimeDelta::milliseconds(self.apart + RELOAD);
        let kid = lives.last().filter(|life| life.nbf > reached)?.kid.clone();
        let released = rotation::retire(&lives, &kid, now)
            .expect("it is there")
            .released;
        lives.retain(|life| life.kid != kid);
        lives
            .iter_mut()
            .filter(|life| Some(&life.kid) == released.as_ref())
            .for_each(|life| life.exp = None);
        Some(lives)
    }

    fn act(&self, lives: &mut Vec<KeyLife>, step: &RotationStep, when: Millis) {
        lives.retain(|life| !step.drop.contains(&life.kid));
        for (kid, exp) in &step.expire {
            lives
                .iter_mut()
                .filter(|life| life.kid == *kid)
                .for_each(|life| life.exp = Some(*exp));
        }
        let kid = || self.new_kid("k", when);
        lives.extend(step.publish.map(|(algorithm, nbf)| KeyLife {
            kid: kid(),
            algorithm,
            nbf,
            exp: None,
        }));
        lives.sort_by_key(|life| life.nbf);
    }

    fn new_kid(&self, kind: &str, when: Millis) -> String {
        format!("{kind}{} of {}", self.versions.len(), at(when))
    }

    fn policy_at(&self, when: Millis) -> RotationPolicy {
        let wanted = self
            .algorithms
            .iter()
            .rev()
            .find(|(since, _)| *since <= when);
        RotationPolicy {
            algorithm: wanted.map_or(self.policy.algorithm, |(_, algorithm)| *algorithm),
            ..self.policy
        }
    }

    fn replica(&self, draws: &mut Draws, clocks: Clocks, span: &Range<Millis>) -> Replica {
        let mut clock = vec![(Millis::MIN, clocks.one(draws))];
        for _ in 0..draws.below(3) {
            clock.push((
                span.start + draws.below(span.end - span.start),
                clocks.one(draws),
            ));
        }
        clock.sort_by_key(|(since, _)| *since);
        let read = self
            .versions
            .iter()
            .map(|version| version.written + draws.below(RELOAD - WRITE + 1))
            .collect();
        Replica { clock, read }
    }

    /// When something happens that a token can be issued just before or after, by this replica.
    fn edges(&self, replica: usize) -> Vec<Millis> {
        let replica = &self.replicas[replica];
        let lives = self.versions.iter().flat_map(|version| &version.lives);
        let mut edges: Vec<_> = lives.map(|life| life.nbf.timestamp_millis()).collect();
        edges.sort_unstable();
        edges.dedup();
        let read = replica.read.iter().copied();
        let begins = edges.into_iter().map(|nbf| nbf - replica.offset(nbf));
        read.chain(begins).filter(|&edge| edge > START).collect()
    }

    /// Has a token issued, at a moment of any kind.
    pub(crate) fn token(&self, draws: &mut Draws) -> Result<Token, String> {
        let replica = draws.index(self.replicas.len());
        let edges = self.edges(replica);
        let last = edges.iter().copied().max().unwrap_or(START) + HOUR;
        let issued = match draws.below(3) {
            0 if !edges.is_empty() => draws.one_of(&edges),
            1 if !edges.is_empty() => {
                (draws.one_of(&edges) - 1 - draws.below(2 * SECOND)).max(START)
            }
            _ => START + draws.below(last - START),
        };
        let (lives, now) = (self.lives(replica, issued), self.clock(replica, issued));
        let signing = rotation::signing(lives, now);
        let kid = signing.map(|index| lives[index].kid.clone());
        let kid = kid
            .ok_or_else(|| format!("replica {replica} has no key that signs at {}", at(issued)))?;
        let refused_from = (now.timestamp() + self.policy.token_ttl.num_seconds()) * SECOND
            + rotation::LEEWAY.num_milliseconds();
        Ok(Token {
            kid,
            replica,
            issued,
            refused_from,
        })
    }

    /// The JWKS as one of the replicas serves it.
    pub(crate) fn fetch(&self, draws: &mut Draws, when: Millis) -> Fetched {
        let replica = draws.index(self.replicas.len());
        let (lives, now) = (self.lives(replica, when), self.clock(replica, when));
        let states = rotation::states(lives, now);
        let visible = lives
            .iter()
            .zip(states)
            .filter(|(_, state)| *state != KeyState::Gone);
        let kids = visible.map(|(life, _)| life.kid.clone()).collect();
        let max_age = rotation::max_age(lives, self.policy.lead, now).num_seconds() * SECOND;
        Fetched {
            when,
            replica,
            kids,
            fresh_until: when + max_age,
        }
    }

    fn lives(&self, replica: usize, when: Millis) -> &[KeyLife] {
        let read = &self.replicas[replica].read;
        &self.versions[read.iter().rposition(|&read| read <= when).unwrap_or(0)].lives
    }

    fn clock(&self, replica: usize, when: Millis) -> DateTime<Utc> {
        at(when + self.replicas[replica].offset(when))
    }
}

impl Replica {
    fn offset(&self, when: Millis) -> Millis {
        self.clock
            .iter()
            .rev()
            .find(|(since, _)| *since <= when)
            .map_or(0, |(_, offset)| *offset)
    }
}

/// A lead that is just long enough for one kind of verifier, or up to an hour longer, and the rest as it comes.
fn policy(draws: &mut Draws, apart: Millis) -> RotationPolicy {
    let needed = verifiers::KINDS.map(|kind| kind.lead_needed(apart));
    let slack = if draws.once_in(2) {
        draws.below(HOUR)
    } else {
        0
    };
    let lead = ((draws.one_of(&needed) + slack) / SECOND + 1).clamp(11 * 60, 2 * 3_600);
    let rarely = draws.one_of(&[HOUR, DAY, 3 * DAY]);
    let every = lead + 60 + draws.below(rarely) / SECOND;
    let lively = draws.one_of(&[MINUTE, DAY, 71 * HOUR]);
    let token_ttl = 3_600 + draws.below(lively) / SECOND;
    let [every, lead, token_ttl] = [every, lead, token_ttl].map(TimeDelta::seconds);
    RotationPolicy {
        every,
        lead,
        token_ttl,
        algorithm: Algorithm::Es256,
    }
}

/// When rotators run: a CronJob that is late, missed for days, doubled or killed, on a machine with its own clock.
fn runs(draws: &mut Draws, clocks: Clocks, policy: &RotationPolicy) -> Vec<(Millis, Run)> {
    let interval = policy.every.num_milliseconds() / (1 + draws.below(20));
    let mut when = START;
    (0..draws.below(40))
        .map(|_| {
            when += match draws.below(10) {
                0..=6 => interval + draws.below(MINUTE),
                7 | 8 => draws.below(3 * SECOND),
                _ => draws.below(4 * DAY),
            };
            let task = match draws.below(24) {
                0..=20 => Task::Rotate,
                21 => Task::RetireUnused,
                _ => add_by_hand(draws, policy),
            };
            let clock = clocks.one(draws);
            (
                when,
                Run {
                    task,
                    clock,
                    write: draws.below(WRITE + 1),
                    dies: draws.once_in(8),
                },
            )
        })
        .collect()
}

/// An operator writes a key into the file, at least a lead before it signs.
fn add_by_hand(draws: &mut Draws, policy: &RotationPolicy) -> Task {
    let lead = policy.lead.num_milliseconds();
    Task::AddByHand(lead + draws.below(lead), draws.one_of(&SIGNED_WITH))
}
