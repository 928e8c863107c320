//! What may happen, and how often.

use proptest::prelude::*;

use super::request::Kind;

/// A small world: the fewer there are, the more they are in each other's way.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) apps: usize,
    pub(crate) humans: usize,
    pub(crate) users: usize,
    pub(crate) per_user: u32,
    pub(crate) backend: Kind,
    /// Whose unionid is there from the first.
    pub(crate) known: Vec<bool>,
    /// Whether steps whose requests are gone arrive before everybody's last login, or after it.
    pub(crate) late_ones_first: bool,
    pub(crate) crowd: Crowd,
}

/// Who asks for anything.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Crowd {
    /// One human in one app.
    One,
    /// Several in one app.
    OneApp,
    /// One human in several apps.
    OneHuman,
    All,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Whom {
    pub(crate) human: usize,
    pub(crate) app: usize,
}

#[derive(Debug, Clone)]
pub(crate) enum Asked {
    LogIn,
    LogInAs { user: usize, by_phone: bool },
    Unbind,
}

/// The numbers choose among those that there are.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    /// A request arrives, at whatever replica.
    Ask(Whom, Asked),
    Step(usize),
    Run(usize),
    /// A step is taken and its answer lost, so that it will be taken again.
    LoseAnswer(usize),
    /// A step is not answered in time.
    Fail(usize),
    Crash(usize),
    /// A step arrives whose request is gone.
    Late(usize),
    /// WeChat begins to tell a unionid.
    Reveal(Whom),
}

pub(crate) fn setups() -> impl Strategy<Value = Setup> {
    let backend = prop_oneof![Just(Kind::Auto), Just(Kind::Service), Just(Kind::File)];
    let known = prop::collection::vec(any::<bool>(), 4);
    let crowd = prop_oneof![Just(Crowd::One), Just(Crowd::OneApp), Just(Crowd::OneHuman), Just(Crowd::All)];
    (2..=3_usize, 3..=4_usize, 2..=4_usize, 1..=2_u32, backend, known, any::<bool>(), crowd).prop_map(
        |(apps, humans, users, per_user, backend, known, late_ones_first, crowd)| Setup {
            apps,
            humans,
            users,
            per_user,
            backend,
            known,
            late_ones_first,
            crowd,
        },
    )
}

/// Drawn as numbers and read from them: a tree of strategies for each action would take longer than what it is for.
pub(crate) fn actions(most: usize) -> impl Strategy<Value = Vec<Action>> {
    let action = any::<u32>().prop_map(|number| Action::read(&mut Digits(number)));
    prop::collection::vec(action, 0..most)
}

struct Digits(u32);

impl Digits {
    fn below(&mut self, limit: u32) -> usize {
        let digit = self.0 % limit;
        self.0 /= limit;
        digit as usize
    }

    /// One of these; what stands there more often comes more often.
    fn one_of<T: Copy>(&mut self, these: &[T]) -> T {
        these[self.below(these.len() as u32)]
    }
}

impl Action {
    fn read(digits: &mut Digits) -> Self {
        match digits.below(28) {
            0..12 => Self::Step(digits.below(6)),
            12..15 => Self::Run(digits.below(6)),
            15..21 => Self::Ask(Whom::read(digits), Asked::read(digits)),
            21 => Self::LoseAnswer(digits.below(6)),
            22 => Self::Fail(digits.below(6)),
            23 => Self::Crash(digits.below(6)),
            24..27 => Self::Late(digits.below(6)),
            _ => Self::Reveal(Whom::read(digits)),
        }
    }
}

impl Whom {
    /// Mostly one of the first two, so that requests meet.
    fn read(digits: &mut Digits) -> Self {
        Self { human: digits.one_of(&[0, 0, 0, 0, 1, 1, 2, 3]), app: digits.one_of(&[0, 0, 0, 0, 1, 1, 1, 2]) }
    }
}

impl Asked {
    fn read(digits: &mut Digits) -> Self {
        match digits.below(8) {
            0..3 => Self::LogIn,
            3..6 => Self::LogInAs { user: digits.one_of(&[0, 0, 0, 1, 1, 2, 3]), by_phone: digits.below(3) == 2 },
            _ => Self::Unbind,
        }
    }
}
