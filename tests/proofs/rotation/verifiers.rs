//! Verifiers as they were measured: when each looks at the JWKS, and what stands between.

use wxmint_keys::rotation::CACHE_SHARE_OF_LEAD;

use super::draws::Draws;
use super::world::{Millis, RELOAD, SECOND, Token, World, show};

const MINUTE: Millis = 60 * SECOND;
const DAY: Millis = 24 * 60 * MINUTE;
/// How often an unknown kid makes jose and PyJWT fetch.
const COOLDOWN: Millis = 30 * SECOND;

#[derive(Debug, Clone)]
pub(crate) struct Fetched {
    pub(crate) when: Millis,
    pub(crate) replica: usize,
    pub(crate) kids: Vec<String>,
    /// By its Cache-Control.
    pub(crate) fresh_until: Millis,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    looks: Looks,
    /// Whether it looks through a cache that obeys Cache-Control.
    cdn: bool,
}

#[derive(Debug, Clone, Copy)]
enum Looks {
    /// By its own clock, used or not.
    Every(Millis),
    /// When it is used and its copy is older, and when a stranger's token names an unknown kid.
    WhenOlderThan(Millis),
    /// When it is used and the copy's max-age has passed.
    WhenStale,
}

pub(crate) const KINDS: [Kind; 6] = [
    Kind { name: "Envoy", looks: Looks::Every(10 * MINUTE), cdn: false },
    Kind { name: "Istio", looks: Looks::Every(20 * MINUTE), cdn: false },
    Kind { name: "jose, PyJWT", looks: Looks::WhenOlderThan(10 * MINUTE), cdn: false },
    Kind { name: "one that obeys Cache-Control", looks: Looks::WhenStale, cdn: false },
    Kind { name: "one behind a CDN", looks: Looks::Every(5 * MINUTE), cdn: true },
    Kind { name: "Istio behind a CDN", looks: Looks::Every(20 * MINUTE), cdn: true },
];

impl Kind {
    /// The promise: poll + max-age + reload + what clocks differ by. The max-age is the caches' share of the lead.
    pub(crate) fn lead_needed(self, apart: Millis) -> Millis {
        let share = Millis::from(CACHE_SHARE_OF_LEAD);
        let (poll, caches) = match self.looks {
            Looks::Every(poll) | Looks::WhenOlderThan(poll) => (poll, Millis::from(self.cdn)),
            Looks::WhenStale => (0, 1),
        };
        (poll + RELOAD + apart) * share / (share - caches)
    }
}

pub(crate) struct Verifier {
    kind: Kind,
    /// When its clock strikes, for one that looks by it.
    phase: Millis,
    /// The copy that it has, and when it asked for it.
    copy: Option<(Millis, Fetched)>,
    cdn: Option<Fetched>,
}

impl Verifier {
    pub(crate) fn new(kind: Kind, draws: &mut Draws) -> Self {
        Self { kind, phase: draws.below(20 * MINUTE), copy: None, cdn: None }
    }

    /// Whether it knows the token's key. If it had to fetch because it does not, that would be a refusal: in the
    /// cooldown it could not.
    pub(crate) fn verify(
        &mut self,
        world: &World<'_>,
        draws: &mut Draws,
        token: &Token,
        when: Millis,
    ) -> Result<(), String> {
        let name = self.kind.name;
        let copy = self.look(world, draws, when);
        if copy.kids.contains(&token.kid) {
            return Ok(());
        }
        let (kid, replica) = (&token.kid, token.replica);
        let (issued, when, fetched) = (show(token.issued), show(when), show(copy.when));
        Err(format!(
            "{name} refused at {when} a token that replica {replica} issued at {issued} with {kid}: \
             it knew {:?}, fetched at {fetched} from replica {}",
            copy.kids, copy.replica
        ))
    }

    /// The copy that is used at `when`, after what happened since it was last used.
    fn look(&mut self, world: &World<'_>, draws: &mut Draws, when: Millis) -> &Fetched {
        let due = match (self.kind.looks, &self.copy) {
            (Looks::Every(poll), _) => when - (when - self.phase).rem_euclid(poll),
            (_, None) => when,
            (Looks::WhenOlderThan(age), Some((asked, _))) => {
                let stranger = draws.once_in(8) && when >= asked + COOLDOWN;
                if stranger || when >= asked + age { when } else { *asked }
            }
            (Looks::WhenStale, Some((asked, copy))) => {
                if when >= copy.fresh_until {
                    when
                } else {
                    *asked
                }
            }
        };
        let known = self.copy.take().filter(|(asked, _)| *asked >= due);
        let copy = known.unwrap_or_else(|| (due, self.fetch(world, draws, due)));
        &self.copy.insert(copy).1
    }

    fn fetch(&mut self, world: &World<'_>, draws: &mut Draws, when: Millis) -> Fetched {
        if !self.kind.cdn {
            return world.fetch(draws, when);
        }
        let held = self.cdn.take().unwrap_or_else(|| world.fetch(draws, when - DAY));
        let held = if when < held.fresh_until { held } else { asked_by_others(world, draws, &held, when) };
        self.cdn.insert(held).clone()
    }
}

/// The copy that a cache holds at `when` if others ask it too: fetched at any time since `before` went stale.
fn asked_by_others(world: &World<'_>, draws: &mut Draws, before: &Fetched, when: Millis) -> Fetched {
    let lead = world.policy.lead.num_milliseconds();
    let ago = draws.one_of(&[lead / 6, lead]);
    let asked = before.fresh_until.max(when - draws.below(ago));
    let others = world.fetch(draws, asked);
    if when < others.fresh_until { others } else { world.fetch(draws, when) }
}
