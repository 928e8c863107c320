//! Choices: random at first, then replayed and made smaller, so that what fails is shown in a form that can be read.

use std::time::{Duration, Instant};

/// How long choices are made smaller.
const WORTH_IT: Duration = Duration::from_secs(30);

/// A source of choices. 0 is always the simplest, and what a replay that has run out yields.
pub(crate) struct Draws {
    made: Vec<u64>,
    next: usize,
    random: Option<fastrand::Rng>,
    /// The acts that came of them, for whoever reads of a failure.
    pub(crate) story: Vec<String>,
}

impl Draws {
    pub(crate) fn random(seed: u64) -> Self {
        Self {
            random: Some(fastrand::Rng::with_seed(seed)),
            ..Self::replay(Vec::new())
        }
    }

    fn replay(made: Vec<u64>) -> Self {
        Self {
            made,
            next: 0,
            random: None,
            story: Vec::new(),
        }
    }

    pub(crate) fn note(&mut self, what: String) {
        self.story.push(what);
    }

    /// A number from 0 to `limit`, without `limit` itself.
    pub(crate) fn below(&mut self, limit: i64) -> i64 {
        let limit = u64::try_from(limit).expect("a limit above 0");
        if let Some(random) = &mut self.random {
            self.made.push(random.u64(..limit));
        }
        let drawn = self.made.get(self.next).map_or(0, |made| made % limit);
        self.next += 1;
        i64::try_from(drawn).expect("below a limit that was an i64")
    }

    /// A number from 0 to `most`, which is often `most` itself.
    pub(crate) fn up_to(&mut self, most: i64) -> i64 {
        if self.once_in(4) {
            most
        } else {
            self.below(most + 1)
        }
    }

    pub(crate) fn once_in(&mut self, times: i64) -> bool {
        self.below(times) == times - 1
    }

    /// One of these; the first is the simplest.
    pub(crate) fn one_of<T: Copy>(&mut self, these: &[T]) -> T {
        these[self.index(these.len())]
    }

    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(i64::try_from(len).expect("a short list")))
            .expect("below a usize")
    }

    /// Smaller choices with which `property` does not hold either, and what it says then. It says `why` now.
    pub(crate) fn made_small<T>(
        self,
        why: String,
        property: impl Fn(&mut Self) -> Result<T, String>,
    ) -> String {
        let (mut made, mut why, until) = (self.made, why, Instant::now() + WORTH_IT);
        let mut fails = |made: Vec<u64>| {
            let why = (Instant::now() < until)
                .then(|| property(&mut Self::replay(made.clone())).err())??;
            Some((made, why))
        };
        loop {
            let found = smaller(&made).find_map(&mut fails);
            let Some(found) = found else { return why };
            (made, why) = found;
        }
    }
}

/// Ways to make choices smaller: leave out a stretch, or take a smaller number.
fn smaller(made: &[u64]) -> impl Iterator<Item = Vec<u64>> {
    let len = made.len();
    let stretches = [256, 64, 16, 4, 1]
        .into_iter()
        .filter(move |stretch| *stretch <= len);
    let without = stretches.flat_map(move |stretch| {
        let from = (0..len).step_by(stretch);
        from.map(move |from| [&made[..from], &made[(from + stretch).min(len)..]].concat())
    });
    let lower = (0..len)
        .filter(|&index| made[index] > 0)
        .flat_map(move |index| {
            [0, made[index] / 2, made[index] - 1].map(|number| {
                let mut made = made.to_vec();
                made[index] = number;
                made
            })
        });
    without.chain(lower)
}
