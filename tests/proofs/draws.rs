//! Choices: random at first, then replayed and made smaller, so that what fails is shown in a form that can be read.

/// A source of choices. 0 is always the simplest, and what a replay that has run out yields.
pub(crate) struct Draws {
    made: Vec<u64>,
    next: usize,
    random: Option<fastrand::Rng>,
}

impl Draws {
    fn random(seed: u64) -> Self {
        Self { made: Vec::new(), next: 0, random: Some(fastrand::Rng::with_seed(seed)) }
    }

    fn replay(made: Vec<u64>) -> Self {
        Self { made, next: 0, random: None }
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

    pub(crate) fn once_in(&mut self, times: i64) -> bool {
        self.below(times) == times - 1
    }

    /// One of these; the first is the simplest.
    pub(crate) fn one_of<T: Copy>(&mut self, these: &[T]) -> T {
        these[self.index(these.len())]
    }

    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(i64::try_from(len).expect("a short list"))).expect("below a usize")
    }
}

/// A case in which the property does not hold.
pub(crate) struct Failure {
    /// Counted from 1.
    pub(crate) case: u64,
    /// The case is drawn from this.
    pub(crate) seed: u64,
    pub(crate) why: String,
    made: Vec<u64>,
}

/// Tries `cases` cases, the first drawn from `seed`, the next from `seed + 1` and so on.
pub(crate) fn first_failure<P>(seed: u64, cases: u64, property: P) -> Option<Failure>
where
    P: Fn(&mut Draws) -> Result<(), String>,
{
    (0..cases).find_map(|case| {
        let seed = seed.wrapping_add(case);
        let mut draws = Draws::random(seed);
        let why = property(&mut draws).err()?;
        Some(Failure { case: case + 1, seed, why, made: draws.made })
    })
}

impl Failure {
    /// The same fault with fewer and smaller choices.
    pub(crate) fn made_small<P>(mut self, property: P) -> Self
    where
        P: Fn(&mut Draws) -> Result<(), String>,
    {
        let mut attempts_left = 4_000;
        let mut fails = |made: Vec<u64>| {
            attempts_left -= 1;
            let why = property(&mut Draws::replay(made.clone())).err().filter(|_| attempts_left > 0)?;
            Some((made, why))
        };
        loop {
            let smaller = self.smaller().find_map(&mut fails);
            let Some(smaller) = smaller else { return self };
            (self.made, self.why) = smaller;
        }
    }

    /// Ways to make the choices smaller: leave out a stretch, or take a smaller number.
    fn smaller(&self) -> impl Iterator<Item = Vec<u64>> {
        let len = self.made.len();
        let stretches = [256, 64, 16, 4, 1].into_iter().filter(move |stretch| *stretch <= len);
        let without = stretches.flat_map(move |stretch| {
            (0..len)
                .step_by(stretch)
                .map(move |from| [&self.made[..from], &self.made[(from + stretch).min(len)..]].concat())
        });
        let lower = (0..len).filter(|&index| self.made[index] > 0).flat_map(move |index| {
            [0, self.made[index] / 2, self.made[index] - 1].map(|number| {
                let mut made = self.made.clone();
                made[index] = number;
                made
            })
        });
        without.chain(lower)
    }
}
