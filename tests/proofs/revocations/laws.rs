//! The laws that must hold after every step.

use wxmint_ids::TokenId;
use wxmint_keys::token::Issued;
use wxmint_store::Generation;
use wxmint_verify::{Claims, revocations::RevocableToken};

use super::verifiers::{ISSUER, Verifier};
use super::world::{USERS, World};
use crate::{Held, Millis, SECOND, at, hold};

/// A token as far as ends are concerned.
pub(crate) struct Token {
    pub(crate) user: usize,
    pub(crate) person: usize,
    pub(crate) generation: Generation,
    pub(crate) key: usize,
    pub(crate) issued: Issued,
}

impl Token {
    /// The parts of it that a revocation can name.
    pub(crate) fn revocable(&self, kid: &str) -> RevocableToken {
        let Issued {
            user,
            app,
            id,
            issued_at,
            expires_at,
        } = self.issued.clone();
        let [issued_at, expires_at] = [issued_at, expires_at].map(|second| at(second * SECOND));
        let (audience, not_before, others) = Default::default();
        RevocableToken::of(
            ISSUER,
            &Claims {
                user,
                app,
                id,
                audience,
                issued_at,
                expires_at,
                not_before,
                others,
            },
            kid,
        )
    }

    /// With all the leeway there is.
    fn is_valid(&self, clock: Millis) -> bool {
        clock < (self.issued.expires_at + 60) * SECOND
    }
}

/// The tokens that a revocation names.
#[derive(Debug, Clone)]
pub(crate) enum Scope {
    User(usize),
    App(usize, &'static str),
    Token(TokenId),
    Key(usize),
}

/// A revocation: the tokens of a scope up to a second.
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
            Scope::App(user, app) => token.user == *user && token.issued.app.as_str() == *app,
            Scope::Token(id) => token.issued.id == *id,
            Scope::Key(key) => token.key == *key,
        };
        in_scope && token.issued.issued_at <= self.before
    }
}

/// The requests and the answers, as a bystander with the true clock writes it down.
#[derive(Default)]
pub(crate) struct Books {
    pub(crate) tokens: Vec<(Token, RevocableToken)>,
    /// The latest date ahead of the store's clock that a token of each user has got, and the same without those that a
    /// failover would take back.
    pub(crate) dated: [i64; USERS],
    pub(crate) confirmed: [i64; USERS],
    /// A token that nobody should have been given.
    pub(crate) dead_on_arrival: Option<TokenId>,
    /// How many pages verifiers have accepted.
    pub(crate) accepted: usize,
    /// The revocations of some request, answered or not.
    pub(crate) begun: Vec<End>,
    /// The ends that were answered, and when.
    pub(crate) answered: Vec<(End, Millis)>,
}

impl World<'_> {
    pub(crate) fn check(&mut self) -> Held {
        if let Some(token) = &self.books.dead_on_arrival {
            return Err(format!("{token} was issued although it was revoked"));
        }
        for number in 0..self.verifiers.len() {
            self.verifiers[number].hear(self.now);
            let verifier = &self.verifiers[number];
            let (revocations, clock) = (verifier.feed.revocations(), self.now + verifier.clock);
            let valid = self
                .books
                .tokens
                .iter()
                .filter(|(token, _)| token.is_valid(clock));
            for (token, revocable) in valid {
                self.judge(verifier, revocations.is_revoked(revocable), token)
                    .map_err(|law| format!("verifier {number}, {:?}: {law}", token.issued.id))?;
            }
        }
        Ok(())
    }

    fn judge(&self, verifier: &Verifier, is_refused: bool, token: &Token) -> Held {
        if is_refused {
            let is_revoked = self
                .books
                .begun
                .iter()
                .any(|revocation| revocation.names(token));
            return hold(is_revoked, || "refused, and nobody has revoked it".into());
        }
        let answered = self
            .books
            .answered
            .iter()
            .filter(|(revocation, _)| revocation.names(token))
            .map(|(_, at)| *at);
        let Some(first) = answered.min() else {
            return Ok(());
        };
        hold(first > verifier.heard, || {
            format!(
                "accepted, and its revocation was answered {} ms ago",
                self.now - first
            )
        })?;
        // A page's time is the store's, whose clock may be ahead of the true one; the age is by the verifier's own.
        let known = verifier
            .age(self.now)
            .map(|age| self.now + verifier.clock - age - self.ahead());
        hold(known <= Some(first), || {
            format!("accepted at {first}, and ends are known until {known:?}")
        })
    }
}
