//! The laws that must hold after every step.

use wxmint_verify::{Claims, ends::Endable};

use super::store::{Millis, SECOND};
use super::verifiers::{ISSUER, Verifier};
use super::world::{PEOPLE_OF_APP, World, user_id};
use chrono::{DateTime, Utc};

/// A token as far as ends are concerned.
pub(crate) struct Token {
    pub(crate) user: usize,
    pub(crate) person: usize,
    pub(crate) generation: u64,
    pub(crate) id: String,
    pub(crate) iat: i64,
    pub(crate) exp: i64,
    pub(crate) key: usize,
}

impl Token {
    pub(crate) fn app(&self) -> &'static str {
        PEOPLE_OF_APP[self.person]
    }

    /// The parts of it that an end can name.
    pub(crate) fn endable(&self, kid: &str) -> Endable {
        let at = |second| DateTime::<Utc>::from_timestamp(second, 0).expect("a date");
        let claims = Claims {
            user: user_id(self.user),
            app: self.app().parse().expect("an app"),
            id: self.id.parse().expect("an id"),
            audience: Vec::new(),
            issued_at: at(self.iat),
            expires_at: at(self.exp),
            not_before: None,
            others: serde_json::Map::new(),
        };
        Endable::of(ISSUER, &claims, kid)
    }

    /// With all the leeway there is.
    fn is_valid(&self, clock: Millis) -> bool {
        clock < (self.exp + 60) * SECOND
    }
}

/// The tokens that an end names.
#[derive(Debug, Clone)]
pub(crate) enum Scope {
    User(usize),
    App(usize, &'static str),
    Token(String),
    Key(usize),
}

/// An end: the tokens of a scope up to a second.
#[derive(Debug, Clone)]
pub(crate) struct End {
    pub(crate) scope: Scope,
    pub(crate) before: i64,
    /// A failover may take it back.
    pub(crate) by_login: bool,
}

impl End {
    pub(crate) fn names(&self, token: &Token) -> bool {
        let in_scope = match &self.scope {
            Scope::User(user) => token.user == *user,
            Scope::App(user, app) => token.user == *user && token.app() == *app,
            Scope::Token(id) => token.id == *id,
            Scope::Key(key) => token.key == *key,
        };
        in_scope && token.iat <= self.before
    }
}

/// The requests and the answers, as a bystander with the true clock writes it down.
#[derive(Default)]
pub(crate) struct Books {
    /// The ends of some request, answered or not.
    pub(crate) begun: Vec<End>,
    /// The ends that were answered, and when.
    pub(crate) answered: Vec<(End, Millis)>,
}

impl World<'_> {
    pub(crate) fn check(&mut self) -> Result<(), String> {
        if let Some(token) = &self.dead_on_arrival {
            return Err(format!("{token} was issued although it was ended"));
        }
        for number in 0..self.verifiers.len() {
            self.verifiers[number].hear(self.now);
            let verifier = &self.verifiers[number];
            let (ends, clock) = (verifier.feed.ends(), self.now + verifier.clock);
            let valid = self.tokens.iter().filter(|(token, _)| token.is_valid(clock));
            for (token, endable) in valid {
                self.judge(verifier, ends.has_ended(endable), token)
                    .map_err(|law| format!("verifier {number}, {}: {law}", token.id))?;
            }
        }
        Ok(())
    }

    fn judge(&self, verifier: &Verifier, is_refused: bool, token: &Token) -> Result<(), String> {
        if is_refused {
            let is_ended = self.books.begun.iter().any(|end| end.names(token));
            return if is_ended { Ok(()) } else { Err("refused, and nobody has ended it".into()) };
        }
        let mut answered = self.books.answered.iter().filter(|(end, _)| end.names(token)).map(|(_, at)| *at);
        let Some(first) = answered.by_ref().min() else { return Ok(()) };
        if first <= verifier.heard {
            return Err(format!("accepted, and its end was answered {} ms ago", self.now - first));
        }
        // A page's time is the store's, whose clock may be ahead of the true one; the age is by the verifier's own.
        let known_until = verifier.age(self.now).map(|age| self.now + verifier.clock - age - self.ahead());
        match known_until {
            Some(known) if known > first => {
                Err(format!("accepted, and ends are known until {} ms after", known - first))
            }
            _ => Ok(()),
        }
    }
}
