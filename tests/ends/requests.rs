//! Requests, each a row of steps at the store. A step may be lost before or after the store has taken it.

use wxmint::{store::Ended, verify::MAX_LEEWAY};

use crate::{
    laws::{End, Scope, Token},
    store::{Recorded, TokenState},
    world::{Binding, PEOPLE_OF_APP, USERS, World, user_id},
};

#[derive(Debug, Clone)]
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
        generation: u64,
    },
    Key,
}

#[derive(Debug, Clone)]
enum Stage {
    Begin,
    Admit,
    Record,
    Publish(Ended, Option<Mark>),
    Note(Mark),
    Issue,
}

/// What notes that an end is in the stream: user, name, second.
type Mark = (usize, String, i64);

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) wish: Wish,
    stage: Stage,
    /// A login's, by the store's clock.
    iat: i64,
    generation: u64,
    /// What it has ended, and after how many failovers.
    ended: Option<(i64, u32)>,
}

enum Next {
    Stage(Stage),
    Answered,
    /// It is refused, or has nothing to do.
    Over,
}

impl World<'_> {
    pub(crate) fn begin(&mut self) {
        let (token, tokens) = (self.draws.index(1_000), self.tokens.len());
        let user = self.draws.index(USERS);
        let person = self.draws.index(PEOPLE_OF_APP.len());
        let wish = match (self.draws.below(16), tokens) {
            (5 | 6, 1..) => Wish::Token(token % tokens),
            (7 | 12..=14, 1..) => Wish::Everywhere(token % tokens),
            (8, _) => Wish::User(user),
            (9, _) => Wish::Block { user, blocked: self.draws.below(3) == 0 },
            (10, _) => match self.bindings[person] {
                Binding::Free => return,
                Binding::To(user, generation) | Binding::Leaving(user, generation) => {
                    self.bindings[person] = Binding::Leaving(user, generation);
                    Wish::Unbind { user, person, generation }
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
        self.requests.push(Request { wish, stage: Stage::Begin, iat: 0, generation: 0, ended: None });
    }

    /// One of the requests takes its next step.
    pub(crate) fn step(&mut self) {
        if self.requests.is_empty() {
            return;
        }
        let mut request = self.requests.swap_remove(self.draws.index(self.requests.len()));
        let fate = if self.is_calm { 0 } else { self.draws.below(8) };
        let stage = format!("{:?} {:?}", request.wish, request.stage);
        if fate == 7 {
            self.note(format!("{stage} is not taken"));
            return self.failed(request);
        }
        let is_confirmed = !matches!(request.stage, Stage::Note(_)) && self.rules.an_end_is_confirmed;
        let next = self.take(&mut request);
        if fate == 6 || is_confirmed && self.is_alone {
            self.note(format!("{stage} is taken and the answer lost"));
            return self.failed(request);
        }
        self.note(format!("{stage} is taken"));
        if is_confirmed {
            self.replicate();
        }
        match next {
            Next::Stage(stage) => self.requests.push(Request { stage, ..request }),
            Next::Answered => self.answered(&request),
            Next::Over => {}
        }
    }

    /// The client repeats it or gives up. A login code is used once.
    fn failed(&mut self, mut request: Request) {
        if matches!(request.wish, Wish::Login { .. }) || self.draws.once_in(4) {
            return;
        }
        request.stage = Stage::Begin;
        self.requests.push(request);
    }

    fn take(&mut self, request: &mut Request) -> Next {
        match (request.stage.clone(), &request.wish) {
            (Stage::Begin, Wish::Login { .. }) => self.log_in(request),
            (Stage::Begin, Wish::Block { user, blocked }) => {
                let (user, blocked) = (*user, *blocked);
                self.store().set_blocked(user, blocked);
                if blocked { Next::Stage(Stage::Record) } else { Next::Over }
            }
            (Stage::Begin, Wish::Key) => {
                let kid = self.keys.kids[0].clone();
                Next::Stage(Stage::Publish(Ended::Key { kid }, None))
            }
            (Stage::Begin, Wish::Everywhere(token)) if !self.may_end_everything(*token) => Next::Over,
            (Stage::Admit, _) => self.admit(request),
            (Stage::Begin | Stage::Record, _) => self.record(request),
            (Stage::Publish(ended, mark), wish) => {
                if matches!(wish, Wish::Key) {
                    self.books.begun.push(End { scope: Scope::Key(0), before: i64::MAX });
                }
                let (trims, now) = (!self.draws.once_in(3), self.store_clock());
                self.store().publish(&ended, trims, now);
                mark.map_or_else(|| done(request), |mark| Next::Stage(Stage::Note(mark)))
            }
            (Stage::Note((user, name, second)), _) => {
                self.store().note_published(user, &name, second);
                done(request)
            }
            (Stage::Issue, _) => {
                self.issue(request);
                Next::Answered
            }
        }
    }

    fn log_in(&mut self, request: &mut Request) -> Next {
        let Wish::Login { person, user } = request.wish else { return Next::Over };
        let user = if let Binding::To(user, _) = self.bindings[person] { user } else { user };
        if self.store().is_blocked(user) {
            return Next::Over;
        }
        request.iat = self.store_second();
        Next::Stage(Stage::Admit)
    }

    fn admit(&mut self, request: &mut Request) -> Next {
        let Wish::Login { person, user } = &mut request.wish else { return Next::Over };
        match self.bindings[*person] {
            Binding::To(bound, generation) => (*user, request.generation) = (bound, generation),
            Binding::Free => {
                self.generation += 1;
                request.generation = self.generation;
                let (user, person) = (*user, *person);
                self.bindings[person] = Binding::To(user, request.generation);
                self.store().admit(user, person, request.generation);
                self.replicate();
            }
            Binding::Leaving(..) => return Next::Over,
        }
        Next::Stage(if self.one_login { Stage::Record } else { Stage::Issue })
    }

    fn may_end_everything(&mut self, token: usize) -> bool {
        let token = &self.tokens[token].0;
        let (user, app, id, iat) = (token.user, token.app(), token.id.clone(), token.iat);
        let (person, generation) = (token.person, token.generation);
        match self.store().token_state(user, app, &id, iat) {
            TokenState::EndedWithUser => true,
            TokenState::Ended => false,
            TokenState::Valid => self.store().has_admitted(user, person, generation),
        }
    }

    /// Writes the end beside the user's list, and into the bystander's books.
    fn record(&mut self, request: &mut Request) -> Next {
        let (now, second, rules) = (self.store_clock(), self.store_second(), *self.rules);
        let (end, name, recorded): (End, String, Recorded) = match request.wish {
            Wish::Token(token) => {
                let (user, id, exp) =
                    (self.tokens[token].0.user, self.tokens[token].0.id.clone(), self.tokens[token].0.exp);
                let until = exp + i64::try_from(MAX_LEEWAY.as_secs()).expect("a minute");
                let recorded = self.store().end_token(user, &id, until, now, &rules);
                (End { scope: Scope::Token(id.clone()), before: i64::MAX }, id, recorded)
            }
            Wish::Everywhere(token) => {
                let (user, iat) = (self.tokens[token].0.user, self.tokens[token].0.iat);
                let recorded = self.store().end_user(user, Some(iat), now, &rules);
                let before = if recorded.changed { second.max(iat) } else { iat };
                (End { scope: Scope::User(user), before }, "before".into(), recorded)
            }
            Wish::User(user) | Wish::Block { user, .. } => {
                let recorded = self.store().end_user(user, None, now, &rules);
                (End { scope: Scope::User(user), before: second }, "before".into(), recorded)
            }
            Wish::Login { person, user } => {
                let app = PEOPLE_OF_APP[person];
                let recorded = self.store().end_earlier(user, app, request.iat, now, &rules);
                (End { scope: Scope::App(user, app), before: request.iat - 1 }, format!("app:{app}"), recorded)
            }
            Wish::Unbind { user, person, generation } => {
                let app = PEOPLE_OF_APP[person];
                let recorded = self.store().dismiss((user, person), generation, app, now, &rules);
                let before = if recorded.changed { second } else { i64::MIN };
                (End { scope: Scope::App(user, app), before }, format!("app:{app}"), recorded)
            }
            Wish::Key => return Next::Over,
        };
        self.write_down(request, end, &recorded);
        match recorded.unpublished {
            Some(second) => Next::Stage(self.publishing(&request.wish, name, second)),
            None => done(request),
        }
    }

    /// A repetition ends no more than the first try did, unless a failover has taken that back.
    fn write_down(&mut self, request: &mut Request, end: End, recorded: &Recorded) {
        let before = request.ended.filter(|(_, failovers)| *failovers == self.failovers).map(|(before, _)| before);
        let ends_anew = matches!(request.wish, Wish::User(_) | Wish::Block { .. });
        let before = before.filter(|_| !ends_anew).unwrap_or(end.before);
        if recorded.changed {
            self.books.begun.push(End { before, ..end });
        }
        request.ended = Some((before, self.failovers));
    }

    fn publishing(&self, wish: &Wish, name: String, second: i64) -> Stage {
        let (user, ended) = match *wish {
            Wish::Token(token) => {
                let token = &self.tokens[token].0;
                (token.user, Ended::Token { id: token.id.parse().expect("an id"), expires_at: token.exp })
            }
            Wish::Login { person, user } | Wish::Unbind { person, user, .. } => {
                let app = PEOPLE_OF_APP[person].parse().expect("an app");
                (user, Ended::UserInApp { user: user_id(user), app, before: second })
            }
            Wish::Everywhere(token) => {
                let user = self.tokens[token].0.user;
                (user, Ended::User { user: user_id(user), before: second })
            }
            Wish::User(user) | Wish::Block { user, .. } => (user, Ended::User { user: user_id(user), before: second }),
            Wish::Key => unreachable!("a key's end has no mark"),
        };
        Stage::Publish(ended, Some((user, name, second)))
    }

    fn issue(&mut self, request: &Request) {
        let Wish::Login { person, user } = request.wish else { return };
        let number = self.draws.index(2);
        let key = self.issuers[number].key(self.now);
        let token = Token {
            user,
            person,
            generation: request.generation,
            id: format!("token-{}", self.tokens.len()),
            iat: request.iat,
            exp: request.iat + self.life,
            key,
        };
        self.note(format!("issues {}, iat {}, for user {user} by person {person}, key {key}", token.id, token.iat));
        let endable = token.endable(&self.keys.kids[key]);
        self.tokens.push((token, endable));
    }

    fn answered(&mut self, request: &Request) {
        let before = request.ended.map_or(i64::MIN, |(before, _)| before);
        let scope = match request.wish {
            Wish::Token(token) => Scope::Token(self.tokens[token].0.id.clone()),
            Wish::Everywhere(token) => Scope::User(self.tokens[token].0.user),
            Wish::User(user) | Wish::Block { user, .. } => Scope::User(user),
            Wish::Login { person, user } => Scope::App(user, PEOPLE_OF_APP[person]),
            Wish::Unbind { person, user, generation } => {
                if matches!(self.bindings[person], Binding::Leaving(_, left) if left == generation) {
                    self.bindings[person] = Binding::Free;
                }
                Scope::App(user, PEOPLE_OF_APP[person])
            }
            Wish::Key => Scope::Key(0),
        };
        let before = if matches!(request.wish, Wish::Key) { i64::MAX } else { before };
        self.note(format!("answers {:?}: {scope:?} up to {before}", request.wish));
        self.books.answered.push((End { scope, before }, self.now));
    }
}

fn done(request: &Request) -> Next {
    if matches!(request.wish, Wish::Login { .. }) { Next::Stage(Stage::Issue) } else { Next::Answered }
}
