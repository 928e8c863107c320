//! What may happen, and how often.

use proptest::prelude::*;

use crate::request::Kind;

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
    /// Whether steps whose requests are gone arrive in the end, or never.
    pub(crate) late_ones_arrive: bool,
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

/// A human in an app.
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
    /// A request takes its next step.
    Step(usize),
    /// A request takes all of its steps.
    Run(usize),
    /// A step is taken and its answer lost, so that it will be taken again.
    LoseAnswer(usize),
    /// A step is not answered in time.
    Fail(usize),
    /// A replica dies.
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
        |(apps, humans, users, per_user, backend, known, late_ones_arrive, crowd)| Setup {
            apps,
            humans,
            users,
            per_user,
            backend,
            known,
            late_ones_arrive,
            crowd,
        },
    )
}

pub(crate) fn actions(most: usize) -> impl Strategy<Value = Vec<Action>> {
    let index = || 0..6_usize;
    let action = prop_oneof![
        6 => (whom(), asked()).prop_map(|(whom, asked)| Action::Ask(whom, asked)),
        12 => index().prop_map(Action::Step),
        3 => index().prop_map(Action::Run),
        1 => index().prop_map(Action::LoseAnswer),
        1 => index().prop_map(Action::Fail),
        1 => index().prop_map(Action::Crash),
        3 => index().prop_map(Action::Late),
        1 => whom().prop_map(Action::Reveal),
    ];
    prop::collection::vec(action, 0..most)
}

/// Mostly the first, so that requests meet.
fn whom() -> impl Strategy<Value = Whom> {
    let human = prop_oneof![4 => Just(0_usize), 3 => Just(1), 1 => 2..4_usize];
    let app = prop_oneof![4 => Just(0_usize), 3 => Just(1), 1 => Just(2)];
    (human, app).prop_map(|(human, app)| Whom { human, app })
}

fn asked() -> impl Strategy<Value = Asked> {
    let user = prop_oneof![3 => Just(0_usize), 2 => Just(1), 1 => 2..4_usize];
    let by_phone = prop::bool::weighted(0.3);
    prop_oneof![
        3 => Just(Asked::LogIn),
        3 => (user, by_phone).prop_map(|(user, by_phone)| Asked::LogInAs { user, by_phone }),
        2 => Just(Asked::Unbind),
    ]
}
