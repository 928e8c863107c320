//! The whole store is lost at any step, where user ids are drawn: whoever logs in afterwards is one user from then on,
//! who stands on that user's list, also if a request goes on whose first steps were lost.

use std::collections::BTreeMap;

use actix_web::rt::Runtime;
use wxmint::accounts::Named;
use wxmint_ids::UserId;
use wxmint_store::Store;

use super::request::{Backend, Kind, Outcome, Request, Visit, Wish};
use super::world::{parse, person};
use crate::draws::Draws;
use crate::stepping::Call;
use crate::{Held, Scheduled};

const HUMANS: usize = 2;
const APPS: usize = 2;

pub(super) struct World<'a> {
    draws: &'a mut Draws,
    runtime: &'a Runtime,
    empty: &'a dyn Fn() -> Vec<Store>,
    stores: Vec<Store>,
    backend: Backend,
    in_flight: Vec<Login>,
    number: u64,
    losses: usize,
    /// The user of each person since the last loss.
    users: BTreeMap<usize, UserId>,
}

struct Login {
    who: usize,
    number: u64,
    /// How often everything had been lost when it began.
    losses: usize,
    call: Call<Outcome>,
}

impl Scheduled for World<'_> {
    const MOST_ACTIONS: i64 = 100;

    fn draws(&mut self) -> &mut Draws {
        self.draws
    }

    fn act(&mut self) -> Held {
        match (self.draws.below(20), self.in_flight.len()) {
            (0, _) => self.lose(),
            (1..6, 0..3) => {
                let (who, is_with_user) = (self.draws.index(HUMANS * APPS), self.draws.once_in(4));
                return self.begin(who, is_with_user);
            }
            (_, 0) => {}
            // Its process dies.
            (6, some) => {
                let login = self.in_flight.swap_remove(self.draws.index(some));
                self.draws.note(format!(
                    "{} is killed before {}",
                    login.number,
                    login.call.step().text()
                ));
            }
            (_, some) => {
                let at = self.draws.index(some);
                return self.step(at);
            }
        }
        Ok(())
    }

    fn come_to_rest(&mut self) -> Result<usize, String> {
        self.draws.note("at rest:".into());
        for who in (0..HUMANS * APPS).chain(0..HUMANS * APPS) {
            self.begin(who, false)?;
            while !self.in_flight.is_empty() {
                self.step(0)?;
            }
        }
        for (who, user) in &self.users {
            let list = self
                .runtime
                .block_on(self.stores[0].bindings.people_of(user))
                .expect("a list")
                .unwrap_or_default();
            if !list.contains(&person(who / APPS, who % APPS)) {
                return Err(format!("{who} is not on the list of {user}"));
            }
        }
        Ok(self.losses)
    }
}

impl<'a> World<'a> {
    pub(super) fn draw(
        draws: &'a mut Draws,
        runtime: &'a Runtime,
        empty: &'a dyn Fn() -> Vec<Store>,
    ) -> Self {
        let backend = Backend::new(draws.one_of(&[Kind::Auto, Kind::Service]));
        let (stores, in_flight, users) = (empty(), Vec::new(), BTreeMap::new());
        Self {
            draws,
            runtime,
            empty,
            stores,
            backend,
            in_flight,
            number: 0,
            losses: 0,
            users,
        }
    }

    fn lose(&mut self) {
        self.draws.note("everything is lost".into());
        self.stores = (self.empty)();
        self.losses += 1;
        self.users.clear();
    }

    fn begin(&mut self, who: usize, is_with_user: bool) -> Held {
        self.number += 1;
        let human = who / APPS;
        let candidate = Named {
            user: parse(format!("user-{human}")),
            made: false,
        };
        let wish = if is_with_user {
            Wish::LogInAs(candidate)
        } else {
            Wish::LogIn
        };
        self.draws.note(format!("{}: {who} {wish:?}", self.number));
        let (person, unionid) = (
            person(human, who % APPS),
            Some(parse(format!("union-{human}"))),
        );
        let visit = Visit {
            number: self.number,
            person,
            unionid,
            wish,
            has_key: true,
            per_user: 1,
        };
        let call = Request::begin(&self.backend, visit);
        self.in_flight.push(Login {
            who,
            number: self.number,
            losses: self.losses,
            call,
        });
        self.go_on(self.in_flight.len() - 1)
    }

    fn step(&mut self, at: usize) -> Held {
        let Login { number, call, .. } = &self.in_flight[at];
        let (number, step) = (*number, call.step());
        let said = self
            .runtime
            .block_on(self.backend.answers(&step, &self.stores));
        self.draws
            .note(format!("{number}: {} -> {said:?}", step.text()));
        step.answer(said);
        self.go_on(at)
    }

    fn go_on(&mut self, at: usize) -> Held {
        let Some(outcome) = self.runtime.block_on(self.in_flight[at].call.go_on()) else {
            return Ok(());
        };
        let Login {
            who,
            number,
            losses,
            ..
        } = self.in_flight.swap_remove(at);
        self.draws.note(format!("{number}: answered {outcome:?}"));
        match outcome {
            // A login that began before the loss may tell who the person was then.
            Outcome::Bound(bound) if losses == self.losses => {
                let held = self.users.entry(who).or_insert_with(|| bound.user.clone());
                if *held == bound.user {
                    Ok(())
                } else {
                    Err(format!("{who} was {held} and is {}", bound.user))
                }
            }
            Outcome::Failed(error) => Err(format!("failed: {error}")),
            _ => Ok(()),
        }
    }
}
