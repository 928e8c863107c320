//! Verifiers as they were measured: how old the copy of the JWKS may be that each uses.

use wxmint_keys::rotation::CACHE_SHARE_OF_LEAD;

use super::draws::Draws;
use super::world::{RELOAD, Token, World};
use crate::{Held, Millis, SECOND, at};

const MINUTE: Millis = 60 * SECOND;

#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) when: Millis,
    pub(crate) replica: usize,
    pub(crate) kids: Vec<String>,
    /// By its Cache-Control.
    pub(crate) fresh_until: Millis,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    name: &'static str,
    /// It has looked at most so long before it uses its copy.
    poll: Millis,
    /// Whether it looks at a copy that obeys Cache-Control, its own or that of a CDN.
    caches: bool,
}

pub(crate) const KINDS: [Kind; 5] = [
    Kind {
        name: "Envoy, jose or PyJWT",
        poll: 10 * MINUTE,
        caches: false,
    },
    Kind {
        name: "Istio",
        poll: 20 * MINUTE,
        caches: false,
    },
    Kind {
        name: "one that obeys Cache-Control",
        poll: 0,
        caches: true,
    },
    Kind {
        name: "one behind a CDN",
        poll: 5 * MINUTE,
        caches: true,
    },
    Kind {
        name: "Istio behind a CDN",
        poll: 20 * MINUTE,
        caches: true,
    },
];

impl Kind {
    /// The promise: poll + max-age + reload + what clocks differ by. The max-age is the caches' share of the lead.
    pub(crate) fn lead_needed(self, apart: Millis) -> Millis {
        let share = Millis::from(CACHE_SHARE_OF_LEAD);
        (self.poll + RELOAD + apart) * share / (share - Millis::from(self.caches))
    }

    /// Whether it knows the token's key. If it had to fetch because it does not, that would be a refusal: some do not
    /// fetch twice within 30 s.
    pub(crate) fn verify(
        self,
        world: &World,
        draws: &mut Draws,
        token: &Token,
        when: Millis,
    ) -> Held {
        let looked = when - draws.up_to(self.poll);
        let copy = if self.caches {
            cached(world, draws, looked)
        } else {
            world.fetch(draws, looked)
        };
        if copy.kids.contains(&token.kid) {
            return Ok(());
        }
        let (kid, replica) = (&token.kid, token.replica);
        let [issued, when, fetched] = [token.issued, when, copy.when].map(at);
        Err(format!(
            "{} refused at {when} a token that replica {replica} issued at {issued} with {kid}: \
             it knew {:?}, fetched at {fetched} from replica {}",
            self.name, copy.kids, copy.replica
        ))
    }
}

/// The copy of a cache at `when`: somebody has asked for it at any time before, if it is still fresh.
fn cached(world: &World, draws: &mut Draws, when: Millis) -> Fetched {
    let lead = world.policy.lead.num_milliseconds();
    let ago = draws.one_of(&[lead / Millis::from(CACHE_SHARE_OF_LEAD), lead]);
    let asked = when - draws.up_to(ago);
    let copy = world.fetch(draws, asked);
    if when < copy.fresh_until {
        copy
    } else {
        world.fetch(draws, when)
    }
}
