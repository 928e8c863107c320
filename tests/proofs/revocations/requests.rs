//! Requests, each a row of steps at the store. A step may be lost before or after the store has taken it.

use std::time::Duration;

use wxmint_keys::token::Issued;
use wxmint_store::{Decision, Generation, Intent, Store, TokenState, UserState};

use super::laws::{End, Scope, Token};
use super::store::{Fate, StoreCall};
use super::world::{Binding, PEOPLE_OF_APP, USERS, World, person_id, user_id};
use crate::SECOND;
use crate::stepping::Answer;

#[derive(Debug, Clone, Default)]
pub(crate) enum Wish {
    Login {
        person: usize,
        user: usize,
    },
    /// Logout, of one token.
    Token(usize),
    Everywhere(usize),
    /// By an operator.
    User(usize),
    Block {
        user: usize,
        blocked: bool,
    },
    Unbind {
        user: usize,
        person: usize,
        generation: Generation,
    },
    #[default]
    Key,
}

#[derive(Default)]
enum Stage {
    #[default]
    Begin,
    Admit,
    /// Something is being revoked, or a token dated. Whether that has been written down.
    End(StoreCall<Option<i64>>, bool),
    Issue,
}

#[derive(Default)]
pub(crate) struct Request {
    pub(crate) wish: Wish,
    stage: Stage,
    /// Names a login's token.
    number: usize,
    /// When a login was recorded, by the store's clock.
    at: i64,
    /// The second that the store's clock showed when what revokes something looked, before its first step.
    looked: i64,
    /// The date of its token, and the latest one that verifiers accept.
    iat: i64,
    latest: i64,
    /// How many revocations were in the books when the token was dated. None of them may name it.
    dated: usize,
    /// The ends that others had begun by then and not finished. Their last step may come after the date.
    unfinished: Vec<End>,
    /// The generation of the binding, once a login is admitted.
    generation: Option<Generation>,
    /// The second up to which it has revoked, and after how many failovers.
    revoked: Option<(i64, u32)>,
}

impl World<'_> {
    /// A call that nobody disturbs. A busy machine may be too slow for it.
    pub(crate) fn directly<T>(&self, run: impl AsyncFn(&Store) -> Answer<T>) -> T {
        const TRIES: usize = 20;
        let mut answers = (0..TRIES).map(|_| self.runtime.block_on(run(&self.stores.directly)));
        answers.find_map(Result::ok).expect("the store answers")
    }

    pub(crate) fn call<T>(&self, run: impl AsyncFn(&Store) -> Answer<T> + 'static) -> StoreCall<T> {
        self.runtime.block_on(self.stores.call(run))
    }

    /// Whether a write that is answered is on the replica.
    pub(crate) fn can_confirm(&self) -> bool {
        self.stores
            .server
            .as_ref()
            .is_none_or(|server| !server.is_alone.get())
    }

    pub(crate) fn begin(&mut self) {
        let (token, tokens) = (self.draws.index(1_000), self.books.tokens.len());
        let user = self.draws.index(USERS);
        let person = self.draws.index(PEOPLE_OF_APP.len());
        let wish = match (self.draws.below(16), tokens) {
            (5 | 6, 1..) => Wish::Token(token % tokens),
            (7 | 12..=14, 1..) => Wish::Everywhere(token % tokens),
            (8, _) => Wish::User(user),
            (9, _) => Wish::Block {
                user,
                blocked: self.draws.below(3) == 0,
            },
            (10, _) => match self.bindings[person] {
                Binding::Free => return,
                Binding::To(user, generation) | Binding::Leaving(user, generation) => {
                    self.bindings[person] = Binding::Leaving(user, generation);
                    Wish::Unbind {
                        user,
                        person,
                        generation,
                    }
                }
            },
            (11, _) if self.draws.once_in(3) => {
                if !self.take_the_first_key_away() {
                    return;
                }
                Wish::Key
            }
            _ => Wish::Login { person, user },
        };
        self.note(format!("begins {wish:?}"));
        self.begun += 1;
        self.requests.push(Request {
            wish,
            number: self.begun,
            ..Request::default()
        });
    }

    /// One of the requests takes its next step.
    pub(crate) fn step(&mut self) {
        if self.requests.is_empty() {
            return;
        }
        let mut request = self
            .requests
            .swap_remove(self.draws.index(self.requests.len()));
        let next = match std::mem::take(&mut request.stage) {
            Stage::Begin => self.prepare(&mut request),
            Stage::Admit => self.admit(&mut request),
            Stage::End(call, is_noted) => return self.revocation(request, call, is_noted),
            Stage::Issue => {
                self.issue(&request);
                return self.answered(&request);
            }
        };
        self.requests
            .extend(next.map(|stage| Request { stage, ..request }));
    }

    /// `None` if it is refused, or has nothing to do.
    fn prepare(&mut self, request: &mut Request) -> Option<Stage> {
        match request.wish {
            Wish::Login { person, user } => {
                let user = if let Binding::To(user, _) = self.bindings[person] {
                    user
                } else {
                    user
                };
                let life = Duration::from_secs(self.life as u64);
                self.directly(async move |store: &Store| store.token_lives.note(life).await);
                request.at = self.store_second();
                request.latest = self.now.div_euclid(SECOND) + 60;
                (!self.user_state(user).blocked).then_some(Stage::Admit)
            }
            Wish::Block { user, blocked } => {
                self.directly(async move |store: &Store| {
                    store.revocations.set_blocked(&user_id(user), blocked).await
                });
                // This first step revokes tokens too, up to a second that the process alone may know.
                let revoked = self.user_state(user).revoked_before.filter(|_| blocked);
                self.books.begun.extend(revoked.map(|before| End {
                    scope: Scope::User(user),
                    before,
                    by_login: false,
                }));
                blocked.then(|| self.begin_to_end(request))
            }
            Wish::Everywhere(token) => self
                .may_revoke_everything(token)
                .then(|| self.begin_to_end(request)),
            Wish::Unbind { .. } => {
                // When the person leaves. A repetition finds it in the binding.
                request.at = if request.at == 0 {
                    self.store_second()
                } else {
                    request.at
                };
                Some(self.begin_to_end(request))
            }
            _ => Some(self.begin_to_end(request)),
        }
    }

    fn admit(&mut self, request: &mut Request) -> Option<Stage> {
        let Wish::Login { person, user } = &mut request.wish else {
            return None;
        };
        match self.bindings[*person] {
            Binding::To(bound, generation) => {
                *user = bound;
                request.generation = Some(generation);
            }
            Binding::Free if self.can_confirm() => {
                self.generations += 1;
                let (user, person) = (*user, *person);
                let generation = Generation::from_number(self.generations);
                let admits = async move |store: &Store| {
                    let intent = Intent {
                        user: user_id(user),
                        made: true,
                        by_unionid: false,
                    };
                    store
                        .bindings
                        .admit(&person_id(person), generation, &intent, 10)
                        .await
                };
                if !matches!(self.directly(admits), Decision::Admitted { .. }) {
                    return None;
                }
                request.generation = Some(generation);
                self.bindings[person] = Binding::To(user, generation);
                self.stores
                    .server
                    .iter()
                    .for_each(|server| _ = server.replicate());
            }
            Binding::Free | Binding::Leaving(..) => return None,
        }
        Some(self.begin_to_end(request))
    }

    /// A login's token with this date.
    fn token_of(&self, request: &Request, person: usize, user: usize, issued_at: i64) -> Issued {
        Issued {
            user: user_id(user),
            app: PEOPLE_OF_APP[person].parse().expect("an app"),
            id: format!("token-{}", request.number).parse().expect("an id"),
            issued_at,
            expires_at: request.at + self.life,
        }
    }

    /// The date that the store is about to give a login's token.
    fn date(&mut self, request: &mut Request) {
        let Wish::Login { person, user } = request.wish else {
            return;
        };
        let (whose, token) = (
            person_id(person),
            self.token_of(request, person, user, request.at),
        );
        let dated = self.directly(async move |store: &Store| {
            store.revocations.date_token(&whose, &token, i64::MIN).await
        });
        request.iat = dated.unwrap_or(i64::MAX);
        if request.at < request.iat && request.iat <= request.latest {
            self.books.dated[user] = self.books.dated[user].max(request.iat);
        }
    }

    fn user_state(&self, user: usize) -> UserState {
        self.directly(async move |store: &Store| store.revocations.user_state(&user_id(user)).await)
    }

    fn state_of(&self, token: &Issued) -> TokenState {
        self.directly(async |store: &Store| store.revocations.token_state(token).await)
    }

    fn may_revoke_everything(&self, token: usize) -> bool {
        let Token {
            person,
            generation,
            ref issued,
            ..
        } = self.books.tokens[token].0;
        match self.state_of(issued) {
            TokenState::RevokedWithUser { .. } => true,
            TokenState::Revoked { .. } => false,
            TokenState::People(people) => people.contains(&(person_id(person), generation)),
        }
    }

    fn begin_to_end(&self, request: &mut Request) -> Stage {
        request.looked = self.store_second();
        let call = match request.wish {
            Wish::Token(token) => {
                let issued = self.books.tokens[token].0.issued.clone();
                self.call(async move |store: &Store| {
                    store.revocations.revoke_token(&issued).await.map(|()| None)
                })
            }
            Wish::Everywhere(token) => {
                let Issued {
                    user, issued_at, ..
                } = self.books.tokens[token].0.issued.clone();
                self.call(async move |store: &Store| {
                    store
                        .revocations
                        .revoke_user(&user, Some(issued_at))
                        .await
                        .map(|()| None)
                })
            }
            Wish::User(user) | Wish::Block { user, .. } => self.call(async move |store: &Store| {
                store
                    .revocations
                    .revoke_user(&user_id(user), None)
                    .await
                    .map(|()| None)
            }),
            Wish::Login { person, user } => {
                let (whose, newest) = (
                    person_id(person),
                    self.token_of(request, person, user, request.at),
                );
                let (latest, single_session) = (request.latest, self.single_session);
                self.call(async move |store: &Store| {
                    let date = match single_session {
                        true => store.revocations.revoke_earlier(&newest, latest).await,
                        false => store.revocations.date_token(&whose, &newest, latest).await,
                    };
                    date.map(|date| Some(date.unwrap_or(i64::MAX)))
                })
            }
            Wish::Unbind {
                user,
                person,
                generation,
            } => {
                let since = request.at;
                self.call(async move |store: &Store| {
                    store
                        .unbindings
                        .unlist_and_revoke(&user_id(user), &person_id(person), generation, since)
                        .await
                        .map(|()| None)
                })
            }
            Wish::Key => {
                let kid = self.keys.kids[0].clone();
                self.call(async move |store: &Store| {
                    store.revocations.revoke_key(&kid).await.map(|_| None)
                })
            }
        };
        Stage::End(call, false)
    }

    fn revocation(
        &mut self,
        mut request: Request,
        mut call: StoreCall<Option<i64>>,
        is_noted: bool,
    ) {
        let fate = match if self.is_calm { 0 } else { self.draws.below(8) } {
            7 => Fate::NotTaken,
            6 => Fate::AnswerLost,
            _ => Fate::Taken,
        };
        if !is_noted && fate != Fate::NotTaken {
            self.date(&mut request);
            self.write_down(&mut request);
            request.dated = self.books.begun.len();
            request.unfinished = self.unfinished_revocations();
        }
        self.note(format!("a step of {:?}: {fate:?}", request.wish));
        match self.runtime.block_on(call.go_on(&self.stores, fate)) {
            None => {
                let stage = Stage::End(call, is_noted || fate != Fate::NotTaken);
                self.requests.push(Request { stage, ..request });
            }
            Some(Err(error)) => self.failed(request, &error.to_string()),
            Some(Ok(None)) => self.answered(&request),
            Some(Ok(Some(iat))) if iat > request.latest => {
                self.failed(request, "its date would be too late");
            }
            Some(Ok(Some(iat))) => {
                assert_eq!(iat, request.iat);
                if let Wish::Login { user, .. } = request.wish
                    && iat > request.at
                {
                    self.books.confirmed[user] = self.books.confirmed[user].max(iat);
                    self.books.dated[user] = self.books.dated[user].max(iat);
                }
                self.requests.push(Request {
                    stage: Stage::Issue,
                    ..request
                });
            }
        }
    }

    /// The client repeats it or gives up. A login code is used once.
    fn failed(&mut self, mut request: Request, why: &str) {
        self.note(format!("{:?} fails: {why}", request.wish));
        if matches!(request.wish, Wish::Login { .. }) || self.draws.once_in(4) {
            return;
        }
        request.stage = Stage::Begin;
        self.requests.push(request);
    }

    /// The revocation that the store is about to write, in the bystander's books. A repetition revokes no more than the
    /// first try did, unless a failover has taken that back.
    fn write_down(&mut self, request: &mut Request) {
        let (scope, second) = (
            self.scope_of(&request.wish),
            self.store_second().max(request.looked),
        );
        let before = match request.wish {
            Wish::Token(_) | Wish::Key => i64::MAX,
            Wish::User(user) | Wish::Block { user, .. } => second.max(self.books.dated[user]),
            Wish::Login { .. } if !self.single_session => return,
            // It revokes those of its own token's second that came before it.
            Wish::Login { .. } => request.iat,
            Wish::Everywhere(token) => {
                let Token {
                    user,
                    issued: Issued { issued_at: iat, .. },
                    ..
                } = self.books.tokens[token].0;
                let is_revoked = self
                    .user_state(user)
                    .revoked_before
                    .is_some_and(|before| iat <= before);
                if is_revoked {
                    iat
                } else {
                    second.max(iat).max(self.books.dated[user])
                }
            }
            Wish::Unbind {
                user,
                person,
                generation,
            } => {
                let people = self.directly(async move |store: &Store| {
                    store.bindings.people_of(&user_id(user)).await
                });
                let is_there = people.is_some_and(|people| people.contains(&person_id(person)));
                let Binding::Leaving(_, left) = self.bindings[person] else {
                    return;
                };
                if is_there && left == generation {
                    request.at.max(self.books.dated[user])
                } else {
                    i64::MIN
                }
            }
        };
        let first = request
            .revoked
            .filter(|(_, failovers)| *failovers == self.failovers)
            .map(|(before, _)| before);
        let ends_anew = matches!(request.wish, Wish::User(_) | Wish::Block { .. });
        let before = first.filter(|_| !ends_anew).unwrap_or(before);
        let by_login = matches!(request.wish, Wish::Login { .. });
        self.books.begun.push(End {
            scope,
            before,
            by_login,
        });
        request.revoked = Some((before, self.failovers));
    }

    fn unfinished_revocations(&self) -> Vec<End> {
        let revocation = |request: &Request| {
            let (before, _) = request.revoked?;
            Some(End {
                scope: self.scope_of(&request.wish),
                before,
                by_login: false,
            })
        };
        self.requests.iter().filter_map(revocation).collect()
    }

    fn scope_of(&self, wish: &Wish) -> Scope {
        match *wish {
            Wish::Token(token) => Scope::Token(self.books.tokens[token].0.issued.id.clone()),
            Wish::Everywhere(token) => Scope::User(self.books.tokens[token].0.user),
            Wish::User(user) | Wish::Block { user, .. } => Scope::User(user),
            Wish::Login { person, user } | Wish::Unbind { person, user, .. } => {
                Scope::App(user, PEOPLE_OF_APP[person])
            }
            Wish::Key => Scope::Key(0),
        }
    }

    fn issue(&mut self, request: &Request) {
        let Wish::Login { person, user } = request.wish else {
            return;
        };
        let number = self.draws.index(2);
        let key = self.issuers[number].key(self.now);
        let issued = self.token_of(request, person, user, request.iat);
        self.note(format!("issues {issued:?} for person {person}, key {key}"));
        let token = Token {
            user,
            person,
            generation: request.generation.expect("an admitted login"),
            key,
            issued,
        };
        let mut since = self.books.begun[request.dated..]
            .iter()
            .chain(&request.unfinished);
        let is_revoked_since = since.any(|revocation| revocation.names(&token));
        // A block revokes tokens at once, and is written into the stream a moment later.
        let is_revoked = !matches!(self.state_of(&token.issued), TokenState::People(_));
        if !is_revoked_since && is_revoked && !self.user_state(user).blocked {
            self.books.dead_on_arrival = Some(token.issued.id.clone());
        }
        let revocable = token.revocable(&self.keys.kids[key]);
        self.books.tokens.push((token, revocable));
    }

    fn answered(&mut self, request: &Request) {
        let Some((before, failovers)) = request.revoked else {
            return;
        };
        let (scope, by_login) = (
            self.scope_of(&request.wish),
            matches!(request.wish, Wish::Login { .. }),
        );
        let before = if by_login { request.iat - 1 } else { before };
        if let Wish::Unbind {
            person, generation, ..
        } = request.wish
            && matches!(self.bindings[person], Binding::Leaving(_, left) if left == generation)
        {
            self.bindings[person] = Binding::Free;
        }
        self.note(format!(
            "answers {:?}: {scope:?} up to {before}",
            request.wish
        ));
        if !by_login || failovers == self.failovers {
            self.books.answered.push((
                End {
                    scope,
                    before,
                    by_login,
                },
                self.now,
            ));
        }
    }
}
