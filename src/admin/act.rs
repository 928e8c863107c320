//! An act on the admin listener: whose secret asks, whether the secret has the right, and the audit event, whatever becomes of it.

use std::str::FromStr;

use actix_web::{HttpRequest, web};

use super::tokens::{CurrentAdminTokens, Holder, Right};
use crate::{
    http::Problem,
    ids::{AppId, InvalidId, Person, UserId},
    login::{LoginWorker, Operator},
    telemetry::{Audited, audit},
};

/// What the acts need: the secrets, and a worker with its own connections to the store and to WeChat.
pub(super) struct Operating {
    pub(super) tokens: CurrentAdminTokens,
    pub(super) worker: LoginWorker,
}

impl Operating {
    pub(super) fn operator(&self) -> Operator<'_> {
        Operator { store: &*self.worker.store }
    }
}

pub(super) type OperatingData = web::Data<Operating>;

/// An act that its secret has the right to.
pub(super) struct Act<T> {
    action: &'static str,
    pub(super) by: Holder,
    pub(super) target: T,
}

impl<T: Target> Act<T> {
    /// Refuses a request without a valid secret (401), with a secret that lacks the right (403), and a path that names nothing
    /// (400). Each refusal is audited.
    pub(super) fn begin(
        action: &'static str,
        right: Right,
        request: &HttpRequest,
        path: web::Path<T::Path>,
        operating: &Operating,
    ) -> Result<Self, Problem> {
        let target = T::parse(path.into_inner());
        let about = target.as_ref().map(T::audited).unwrap_or_default();
        let refused = |by: Option<&Holder>, problem: Problem| {
            audit(action, by.map(Holder::name), about, problem.code().as_str());
            problem
        };
        let by = operating.tokens.holder(request).map_err(|problem| refused(None, problem))?;
        by.must_have(right).map_err(|problem| refused(Some(&by), problem))?;
        if let Err(problem) = &target {
            refused(Some(&by), problem.clone());
        }
        Ok(Self { action, by, target: target? })
    }

    /// Writes a refusal to the audit log. Whatever else an act needs before it is done goes on without an event.
    pub(super) fn may_go_on<Value>(&self, read: Result<Value, Problem>) -> Result<Value, Problem> {
        if read.is_ok() { read } else { self.done(read) }
    }

    /// Writes the outcome to the audit log.
    pub(super) fn done<Done, E: Into<Problem>>(&self, outcome: Result<Done, E>) -> Result<Done, Problem> {
        let outcome = outcome.map_err(E::into);
        let said = outcome.as_ref().map_or_else(|problem| problem.code().as_str(), |_| "ok");
        audit(self.action, Some(self.by.name()), self.target.audited(), said);
        outcome
    }
}

/// What an act is about, as the path of its request names it.
pub(super) trait Target: Sized {
    /// The parts of the path, percent-decoded.
    type Path;
    fn parse(path: Self::Path) -> Result<Self, Problem>;
    /// The audit event names the user and the app, and never an openid.
    fn audited(&self) -> Audited<'_>;
}

fn part<T: FromStr<Err = InvalidId>>(name: &str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error| Problem::invalid(format!("The {name} {error}.")))
}

/// Of an act that is about nobody.
impl Target for () {
    type Path = ();

    fn parse((): ()) -> Result<Self, Problem> {
        Ok(())
    }

    fn audited(&self) -> Audited<'_> {
        Audited::default()
    }
}

impl Target for UserId {
    type Path = String;

    fn parse(user: String) -> Result<Self, Problem> {
        part("user id", &user)
    }

    fn audited(&self) -> Audited<'_> {
        Audited { user: Some(self), app: None }
    }
}

impl Target for AppId {
    type Path = String;

    fn parse(app: String) -> Result<Self, Problem> {
        part("AppID", &app)
    }

    fn audited(&self) -> Audited<'_> {
        Audited { user: None, app: Some(self) }
    }
}

impl Target for (UserId, AppId) {
    type Path = (String, String);

    fn parse((user, app): Self::Path) -> Result<Self, Problem> {
        Ok((part("user id", &user)?, part("AppID", &app)?))
    }

    fn audited(&self) -> Audited<'_> {
        Audited { user: Some(&self.0), app: Some(&self.1) }
    }
}

impl Target for Person {
    type Path = (String, String);

    fn parse((app, openid): Self::Path) -> Result<Self, Problem> {
        Ok(Self { app: part("AppID", &app)?, openid: part("openid", &openid)? })
    }

    fn audited(&self) -> Audited<'_> {
        Audited { user: None, app: Some(&self.app) }
    }
}
