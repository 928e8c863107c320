//! Computed user ids under a scheduler: processes come and go, some of them with a wrong id key, people are bound by an
//! import, and the store is lost at any step. While one process that had agreed lives on, nobody gets two ids, but for
//! who was bound before the store was lost. The store may refuse a person whom it knows by another id.

use std::collections::BTreeMap;

use actix_web::rt::Runtime;
use wxmint::accounts::Named;
use wxmint::clock::now;
use wxmint::login::{BindError, Binder, SettledState, UserIds};
use wxmint_ids::{IdKey, IdKind, Person, Platform, UnionId, UserId};
use wxmint_keys::vault::Sealed;
use wxmint_store::limits::Rate;
use wxmint_store::{
    AttemptId, BindingState, ExchangeTimestamp, LoginRecord, Recorded, Store, StoreAccess,
};

use crate::draws::Draws;
use crate::{DAY, Held, Scheduled, play, prove, runtime};

const RIGHT: &[u8] = b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const WRONG: &[u8] = b"//////////////////////////////////////////8=";
const PEOPLE: usize = 4;

struct World<'a> {
    draws: &'a mut Draws,
    runtime: &'a Runtime,
    kind: IdKind,
    store: Store,
    processes: Vec<UserIds>,
    books: BTreeMap<usize, UserId>,
    logins: usize,
}

impl Scheduled for World<'_> {
    const MOST_ACTIONS: i64 = 80;

    fn draws(&mut self) -> &mut Draws {
        self.draws
    }

    fn act(&mut self) -> Held {
        match self.draws.below(10) {
            0..5 => return self.log_in(),
            5 => self.start(),
            6 if !self.processes.is_empty() => {
                let at = self.draws.index(self.processes.len());
                self.draws.note(format!("{at} ends"));
                self.processes.swap_remove(at);
            }
            7 => self.wait(),
            8 => return self.import(),
            _ => self.lose(),
        }
        // Whoever had agreed is gone: nobody can tell which key was the right one.
        let has_agreed = |ids: &UserIds| {
            ids.if_unbound(&person(0), unionid(0).as_ref(), false)
                .is_ok()
        };
        if !self.processes.iter().any(has_agreed) {
            self.books.clear();
        }
        Ok(())
    }

    fn come_to_rest(&mut self) -> Result<usize, String> {
        self.wait();
        self.log_in()?;
        Ok(self.logins)
    }
}

fn person(human: usize) -> Person {
    Person {
        platform: Platform::WeChat,
        app: "wx1".parse().expect("an AppID"),
        openid: format!("o{human}").parse().expect("an openid"),
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "it is compared with a unionid that may be missing"
)]
fn unionid(human: usize) -> Option<UnionId> {
    Some(format!("u{human}").parse().expect("a unionid"))
}

fn bound(human: usize) -> UserId {
    format!("bound-{human}").parse().expect("a user id")
}

impl World<'_> {
    fn start(&mut self) {
        let is_right = !self.draws.once_in(3);
        let key = IdKey::parse(if is_right { RIGHT } else { WRONG }).expect("a key");
        self.draws.note(format!("one starts, right: {is_right}"));
        self.processes
            .push(UserIds::new(Some((self.kind, key)), true, true));
        self.compare(self.processes.len() - 1, false);
    }

    fn compare(&self, at: usize, has_waited: bool) {
        self.runtime
            .block_on(
                self.processes[at]
                    .agreement
                    .compare(&self.store.bindings, has_waited),
            )
            .expect("it answers");
    }

    /// So much time passes that all compare, and one that waited for the others tells its own.
    fn wait(&mut self) {
        (0..self.processes.len()).for_each(|at| self.compare(at, false));
        if !self.processes.is_empty() {
            let at = self.draws.index(self.processes.len());
            self.compare(at, true);
        }
    }

    fn lose(&mut self) {
        self.draws.note("the store is lost".into());
        self.store = Store::new(&StoreAccess::in_memory(now), DAY, now, ());
        self.books.retain(|human, user| *user != bound(*human));
    }

    /// Binds a person to a user of before, unless the person is somebody already.
    fn import(&mut self) -> Held {
        let human = self.draws.index(PEOPLE);
        let (person, attempt, user) = (person(human), AttemptId::new([255; 16]), bound(human));
        let binder = Binder {
            store: &self.store,
            person: &person,
            unionid: None,
            attempt: &attempt,
            per_user: 1,
        };
        let import = async {
            let settled = binder
                .settle(self.store.bindings.state(&person).await?)
                .await?;
            let is_news = matches!(settled, SettledState::Free { .. });
            binder
                .bind(
                    &Named {
                        user: user.clone(),
                        made: false,
                    },
                    settled,
                )
                .await
                .map(|_| is_news)
        };
        match self.runtime.block_on(import) {
            Ok(is_news) => {
                self.draws
                    .note(format!("{human} is bound, news: {is_news}"));
                match self.books.get(&human) {
                    // The store had forgotten the person.
                    Some(held) if *held != user && !is_news => {
                        return Err(format!("{human} was {held} and is bound"));
                    }
                    _ => self.books.insert(human, user),
                };
                Ok(())
            }
            Err(BindError::AlreadyBound) => Ok(()),
            Err(other) => Err(format!("an import fails: {other:?}")),
        }
    }

    fn log_in(&mut self) -> Held {
        if self.processes.is_empty() {
            return Ok(());
        }
        let (at, human) = (
            self.draws.index(self.processes.len()),
            self.draws.index(PEOPLE),
        );
        let person = person(human);
        let Ok(if_unbound) = self.processes[at].if_unbound(&person, unionid(human).as_ref(), false)
        else {
            return Ok(());
        };
        if self.draws.once_in(4) {
            self.lose();
        }
        let number = self.logins + 1;
        let order = ExchangeTimestamp::new(number as u64, &AttemptId::new([number as u8; 16]));
        let rate = Rate {
            burst: 100_000,
            period: DAY,
        };
        let record = LoginRecord {
            person,
            session_key: Sealed::nothing(),
            order,
            rate,
            if_unbound,
        };
        let recorded = self
            .runtime
            .block_on(self.store.logins.record(&record))
            .expect("it answers");
        if matches!(recorded, Recorded::OtherUser) {
            return Ok(());
        }
        self.logins = number;
        let Recorded::Counted {
            state: BindingState::Bound(bound),
            ..
        } = recorded
        else {
            return Err(format!("a login is refused: {recorded:?}"));
        };
        self.draws
            .note(format!("{human} logs in at {at} as {}", bound.user));
        let held = self
            .books
            .entry(human)
            .or_insert_with(|| bound.user.clone());
        if *held == bound.user {
            Ok(())
        } else {
            Err(format!("{human} was {held} and is {}", bound.user))
        }
    }
}

#[test]
fn nobody_has_two_user_ids_whatever_is_lost() {
    let runtime = runtime();
    for kind in [IdKind::OpenId, IdKind::UnionId] {
        prove(1_000, "logins", |draws| {
            let store = Store::new(&StoreAccess::in_memory(now), DAY, now, ());
            let (processes, books) = (Vec::new(), BTreeMap::new());
            play(World {
                draws,
                runtime: &runtime,
                kind,
                store,
                processes,
                books,
                logins: 0,
            })
        });
    }
}
