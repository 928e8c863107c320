//! The laws that must hold after each step, of each answer, and at rest.

use std::collections::BTreeSet;

use wxmint_ids::{Person, UnionId, UserId, packed};
use wxmint_store::{BindingState, Bound, Generation, Intent, StoreError};

use wxmint::accounts::Named;

use super::books::Books;
use super::request::{Backend, Kind, Outcome, Visit, Wish};
use crate::stepping::{LOST, Step};
use crate::{Held, hold};

/// No request of a world as small as these has need of more.
const MAX_STEPS: u32 = 250;

/// A person goes from free to intended to bound to leaving to free, and each way has its reason.
pub(crate) fn of_a_change(
    person: &Person,
    before: &BindingState,
    party: &Party,
    books: &Books,
) -> Held {
    use BindingState::{Free, Intended, Leaving};
    let after = &books.binding_state(person);
    let follows = match (before, after) {
        (BindingState::Bound(old), BindingState::Bound(new)) => {
            let noted = old.unionid != new.unionid && party.evidence.barred.is_some();
            hold(!noted, || "a unionid is noted whose user is blocked".into())?;
            old.generation == new.generation && old.user == new.user
        }
        (before, after) if before == after => true,
        (
            Free {
                generation: old,
                dissolved,
            },
            Intended {
                generation: new,
                intent,
            },
        ) => {
            of_an_intent(intent, *dissolved, party, books)?;
            new.number() == Generation::number_of_last(*old) + 1
        }
        (Intended { generation, intent }, BindingState::Bound(new)) => {
            new.generation == *generation && new.user == intent.user
        }
        (
            Intended {
                generation: old, ..
            },
            Free {
                generation: new, ..
            },
        ) => Some(*old) == *new,
        (
            BindingState::Bound(old),
            Leaving {
                generation, user, ..
            },
        ) => {
            of_a_leaving(person, old, party, books)?;
            old.generation == *generation && old.user == *user
        }
        (
            Leaving {
                generation: old, ..
            },
            Free {
                generation: new, ..
            },
        ) => Some(*old) == *new,
        _ => false,
    };
    hold(follows, || {
        format!("from {before:?} to {after:?} there is no way")
    })
}

/// One is asked to dissolve a binding that there is, and not one that is made later.
fn of_a_leaving(
    person: &Person,
    bound: &Bound,
    Party { visit, evidence }: &Party,
    books: &Books,
) -> Held {
    let asked = matches!(&visit.wish, Wish::Unbind(user) if *user == bound.user);
    hold(asked, || {
        "a binding was dissolved that nobody asked to dissolve".into()
    })?;
    let past = books
        .pasts(person)
        .iter()
        .find(|past| past.generation == bound.generation);
    let meant = past.is_none_or(|past| evidence.gone.is_none_or(|gone| past.made <= gone));
    hold(meant, || {
        "a binding is dissolved by a request that was gone when it was made".into()
    })
}

fn of_an_intent(
    intent: &Intent,
    dissolved: bool,
    Party { visit, evidence }: &Party,
    books: &Books,
) -> Held {
    let by_password = match &visit.wish {
        Wish::LogInAs(candidate) => {
            hold(intent.user == candidate.user, || {
                "a person is to be bound to another than was proved".into()
            })?;
            hold(dissolved || !evidence.taken, || {
                "a person is to be bound whose unionid is another's".into()
            })?;
            true
        }
        _ => false,
    };
    let is_named = intent.by_unionid && evidence.holders.contains(&intent.user);
    let is_unnamed = !intent.by_unionid && (by_password || dissolved || visit.unionid.is_none());
    hold(is_named || is_unnamed, || {
        "a person is to be bound to another than the unionid stands for".into()
    })?;
    let once_left = books
        .pasts(&visit.person)
        .iter()
        .any(|past| past.user == intent.user);
    let undone = dissolved && !by_password && (intent.by_unionid || once_left);
    hold(!undone, || {
        "a dissolved binding is made again, and nobody asked for it".into()
    })
}

/// For a unionid's sake nobody comes on the list of a user who has left all of their people.
pub(crate) fn of_a_list_change(user: &UserId, before: Option<&[Person]>, books: &Books) -> Held {
    let is_by_unionid = |person: &Person| match books.binding_state(person) {
        BindingState::Intended { intent, .. } => intent.by_unionid,
        _ => false,
    };
    let newcomers = books
        .lists
        .get(user)
        .filter(|_| before.is_some_and(<[Person]>::is_empty));
    let undone = newcomers.is_some_and(|list| list.iter().any(is_by_unionid));
    hold(!undone, || {
        format!("{user} has left everybody, and is given somebody for a unionid's sake")
    })
}

/// A unionid stands for one user, until it is taken from one who has left all of their people, and whom the step names.
pub(crate) fn of_a_holder(
    unionid: &UnionId,
    before: Option<&UserId>,
    step: &Step,
    party: &Party,
    books: &Books,
) -> Held {
    let (name, Evidence { own, deserted, .. }) = (unionid.as_str(), &party.evidence);
    let Some(holder) = books.holders.get(unionid) else {
        return Ok(());
    };
    match before {
        Some(before) => hold(
            before == holder || deserted.contains(before) && step.has(&packed::user(before)),
            || {
                format!(
                    "{name} is taken from {before}, who is not named or has had people since this request began"
                )
            },
        ),
        None => hold(own.as_ref().is_none_or(|own| own == holder), || {
            format!("{name} came later, and stands for another than the person's user")
        }),
    }
}

/// Between any two steps.
pub(crate) fn at_all_times(books: &Books, per_user: u32) -> Held {
    for person in &books.people {
        match books.binding_state(person) {
            BindingState::Bound(bound) => {
                let listed = books
                    .lists
                    .get(&bound.user)
                    .is_some_and(|list| list.contains(person));
                hold(listed, || {
                    format!(
                        "{} is not on the list of {}",
                        person.openid.as_str(),
                        bound.user
                    )
                })?;
            }
            BindingState::Free { dissolved, .. } => {
                let had_any = !books.pasts(person).is_empty();
                hold(dissolved == had_any, || {
                    format!("dissolved is {dissolved}, and should not be")
                })?;
            }
            _ => {}
        }
    }
    books
        .lists
        .iter()
        .try_for_each(|(user, list)| of_a_list(user, list, books, per_user))
}

fn of_a_list(user: &UserId, list: &[Person], books: &Books, per_user: u32) -> Held {
    for person in list {
        let concerned = match books.binding_state(person) {
            BindingState::Bound(bound) => bound.user == *user,
            BindingState::Intended { intent, .. } => intent.user == *user,
            BindingState::Leaving { user: left, .. } => left == *user,
            BindingState::Free { .. } => false,
        };
        hold(concerned, || {
            format!(
                "{} is on the list of {user}, and is not theirs",
                person.openid.as_str()
            )
        })?;
        let of_app = 1 + books.others(user, person);
        hold(of_app <= per_user as usize, || {
            format!("{user} has {of_app} people in one app")
        })?;
    }
    Ok(())
}

/// A request, as far as others see it.
#[derive(Clone)]
pub(crate) struct Party {
    pub(crate) visit: Visit,
    pub(crate) evidence: Evidence,
}

/// The facts while a request was under way: by these its answer is judged.
#[derive(Debug, Clone, Default)]
pub(crate) struct Evidence {
    began: u64,
    /// When the request was given up, if a step of it is still on its way.
    gone: Option<u64>,
    steps: u32,
    /// Users who were seen to have left all of their people.
    deserted: BTreeSet<UserId>,
    /// The users for whom the person's unionid has stood: asked for that, then for their people, it may learn of two
    /// moments.
    holders: BTreeSet<UserId>,
    /// Whether there was a moment in which a refusal was right.
    refusable: bool,
    /// Whether the person's unionid stood all the time for another, who has people, than they have proved to be.
    taken: bool,
    /// Whether there was a moment in which the person was bound to nobody.
    free: bool,
    /// The user to whom the person was bound all the time.
    own: Option<UserId>,
    /// The blocked user whom the person's unionid stood for all the time, while it was not the person's user nor noted.
    barred: Option<UserId>,
    /// Whoever was blocked at any time.
    blocked: BTreeSet<UserId>,
    /// The user whom the person's unionid stood for all the time, with room on the list.
    invited: Option<UserId>,
}

impl Evidence {
    pub(crate) fn at_first(visit: &Visit, books: &Books) -> Self {
        let mut evidence = Self {
            began: books.now,
            taken: is_taken(visit, books),
            own: books.user_of(&visit.person),
            barred: bar(visit, books),
            invited: invitation(visit, books),
            ..Self::default()
        };
        evidence.grow(visit, books);
        evidence
    }

    /// After each step of anybody's.
    pub(crate) fn grow(&mut self, visit: &Visit, books: &Books) {
        self.deserted.extend(
            books
                .lists
                .keys()
                .filter(|user| books.is_deserted(user))
                .cloned(),
        );
        self.holders.extend(
            visit
                .unionid
                .as_ref()
                .and_then(|unionid| books.holders.get(unionid))
                .cloned(),
        );
        self.refusable |= is_refusable(visit, &self.holders, books);
        self.taken &= is_taken(visit, books);
        let user = books.user_of(&visit.person);
        self.free |= user.is_none();
        self.blocked.extend(books.blocked.iter().cloned());
        self.own.take_if(|own| user.as_ref() != Some(own));
        self.barred
            .take_if(|barred| bar(visit, books).as_ref() != Some(barred));
        let is_theirs = self.invited.is_some() && user == self.invited;
        if !is_theirs && invitation(visit, books) != self.invited {
            self.invited = None;
        }
    }

    /// From here on nobody waits for the request.
    pub(crate) fn end(&mut self, books: &Books) {
        self.gone = Some(books.now);
    }

    pub(crate) fn count_a_step(&mut self) -> Held {
        self.steps += 1;
        hold(self.steps <= MAX_STEPS, || "a request gets nowhere".into())
    }
}

/// The user whom the person's unionid stands for, if nothing speaks against their binding.
fn invitation(visit: &Visit, books: &Books) -> Option<UserId> {
    let holder = books.holders.get(visit.unionid.as_ref()?)?;
    let unbound = match books.binding_state(&visit.person) {
        BindingState::Free { dissolved, .. } => !dissolved,
        BindingState::Intended { intent, .. } => {
            intent.user == *holder && books.pasts(&visit.person).is_empty()
        }
        _ => false,
    };
    let lives = books
        .lists
        .get(holder)
        .is_some_and(|list| list.iter().any(|person| *person != visit.person));
    let has_room = books.others(holder, &visit.person) < visit.per_user as usize;
    (unbound && lives && has_room).then(|| holder.clone())
}

/// The blocked user whom the person's unionid stands for.
fn bar(visit: &Visit, books: &Books) -> Option<UserId> {
    let (unionid, state) = (visit.unionid.as_ref()?, books.binding_state(&visit.person));
    let holder = books.holders.get(unionid)?;
    let is_settled = matches!(&state, BindingState::Bound(bound) if bound.user == *holder);
    let lives = books.lists.get(holder).is_some_and(|list| !list.is_empty());
    (!is_settled && lives && books.blocked.contains(holder)).then(|| holder.clone())
}

fn is_taken(visit: &Visit, books: &Books) -> bool {
    let holder = visit
        .unionid
        .as_ref()
        .and_then(|unionid| books.holders.get(unionid));
    let lives = |user: &UserId| books.lists.get(user).is_some_and(|list| !list.is_empty());
    let Wish::LogInAs(candidate) = &visit.wish else {
        return false;
    };
    holder.is_some_and(|holder| *holder != candidate.user && lives(holder))
}

fn is_refusable(visit: &Visit, holders: &BTreeSet<UserId>, books: &Books) -> bool {
    let is_full = |user: &UserId| books.others(user, &visit.person) >= visit.per_user as usize;
    match &visit.wish {
        Wish::LogIn => holders.iter().any(is_full),
        Wish::LogInAs(Named { user, .. }) => {
            let is_anothers = books
                .user_of(&visit.person)
                .is_some_and(|bound| bound != *user);
            let stands_for_another = |holder: &UserId| holder != user && !books.is_deserted(holder);
            is_full(user) || is_anothers || holders.iter().any(stands_for_another)
        }
        Wish::Unbind(_) => false,
    }
}

/// Judges what a request was told.
pub(crate) fn of_an_answer(
    outcome: &Outcome,
    visit: &Visit,
    evidence: &Evidence,
    books: &mut Books,
    backend: &Backend,
) -> Held {
    match outcome {
        Outcome::Bound(bound) => of_a_login(bound, visit, evidence, books, backend),
        Outcome::Asked => {
            hold(backend.kind != Kind::Auto, || {
                "who cannot be asked is asked".into()
            })?;
            hold(evidence.free, || "somebody is asked who is bound".into())?;
            hold(evidence.invited.is_none(), || {
                "somebody is asked whose unionid is known".into()
            })
        }
        Outcome::AlreadyBound => hold(evidence.refusable, || {
            "a login is refused without a reason".into()
        }),
        Outcome::Blocked => hold(may_be_blocked(visit, evidence, books, backend), || {
            "somebody is blocked without a reason".into()
        }),
        Outcome::Unbound => of_an_unbinding(visit, evidence, books),
        Outcome::Failed(error) => {
            let is_lost = matches!(error, StoreError::Unreachable(reason) if reason == LOST);
            hold(is_lost, || format!("failed: {error}"))
        }
    }
}

/// An operator has blocked the user who was proved, or made, or for whom the unionid stands or stood, or whom the same
/// human is or was in any app.
fn may_be_blocked(visit: &Visit, evidence: &Evidence, books: &Books, backend: &Backend) -> bool {
    let proved =
        |user: &UserId| matches!(&visit.wish, Wish::LogInAs(candidate) if candidate.user == *user);
    let held = |user: &UserId| {
        visit
            .unionid
            .clone()
            .is_some_and(|it| books.ever_held.contains(&(it, user.clone())))
    };
    let human = |person: &Person| person.openid.as_str().split('-').next().map(str::to_owned);
    let own = books
        .people
        .iter()
        .filter(|person| human(person) == human(&visit.person));
    let been: BTreeSet<_> = own
        .flat_map(|person| books.pasts(person))
        .map(|past| &past.user)
        .collect();
    evidence
        .blocked
        .iter()
        .any(|user| proved(user) || backend.has_made(user) || held(user) || been.contains(user))
}

fn of_a_login(
    bound: &Bound,
    visit: &Visit,
    evidence: &Evidence,
    books: &mut Books,
    backend: &Backend,
) -> Held {
    let past = books
        .pasts(&visit.person)
        .iter()
        .find(|past| past.generation == bound.generation);
    let true_then = past.is_some_and(|past| {
        past.user == bound.user && past.ended.is_none_or(|ended| ended > evidence.began)
    });
    hold(true_then, || {
        "a user is answered to whom the person was not bound".into()
    })?;
    hold(evidence.barred.is_none(), || {
        "somebody is let in whose unionid stands for a blocked user".into()
    })?;
    let is_held = visit
        .unionid
        .as_ref()
        .is_none_or(|unionid| books.holders.contains_key(unionid));
    hold(is_held, || {
        "somebody is let in whose unionid stands for nobody".into()
    })?;
    match &visit.wish {
        Wish::LogInAs(candidate) => {
            hold(candidate.user == bound.user, || {
                "a user is answered who was not proved".into()
            })?;
        }
        _ => {
            let invited = evidence.invited.as_ref();
            hold(invited.is_none_or(|user| *user == bound.user), || {
                "another user than the unionid's".into()
            })?;
        }
    }
    if bound.new_for.is_some() {
        let may_be_new = backend.has_made(&bound.user) || books.by_phone.contains(&bound.user);
        hold(may_be_new, || {
            format!("{} is said to be new, and is not", bound.user)
        })?;
        hold(books.told_new.insert(bound.user.clone()), || {
            format!("{} is new for the second time", bound.user)
        })?;
    }
    Ok(())
}

fn of_an_unbinding(visit: &Visit, evidence: &Evidence, books: &Books) -> Held {
    let Wish::Unbind(user) = &visit.wish else {
        return Err("nobody asked to unbind".into());
    };
    let of_app = books
        .people
        .iter()
        .filter(|person| person.app == visit.person.app);
    let mut pasts = of_app.flat_map(|person| books.pasts(person));
    let left =
        pasts.any(|past| past.user == *user && past.made <= evidence.began && past.ended.is_none());
    hold(!left, || {
        "a binding is said to be dissolved, and is not".into()
    })
}
