//! A request on the admin listener: checks whose secret was sent and whether it has the right, and
//! writes an audit event in any case.

use std::str::FromStr;

use actix_web::{HttpRequest, web};
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;
use wxmint_http::{Answer, Done, Problem, origin, private, run_to_completion};
use wxmint_ids::{AppId, InvalidId, OpenId, Person, UserId};
use wxmint_keys::vault::Vault;
use wxmint_telemetry::audit::{Activity, Event};

use super::tokens::{CurrentAdminTokens, Holder, Right};
use crate::apps::Apps;
use crate::login::{LoginParts, Operator, OperatorError};
use crate::refusals::Refusal;

/// The state that requests on the admin listener need: the secrets, and the parts of a login with
/// connections of their own to the store and to WeChat.
pub(crate) struct Operating {
    pub(crate) tokens: CurrentAdminTokens,
    pub(crate) login: LoginParts,
}

impl Operating {
    pub(crate) fn operator(&self) -> Operator<'_> {
        Operator {
            store: &self.login.store,
        }
    }
}

pub(crate) type OperatingData = web::Data<Operating>;

/// A request whose secret has the right to it.
pub(crate) struct AdminRequest<T> {
    action: &'static str,
    pub(crate) by: Holder,
    pub(super) event: Event,
    target: T,
    _permit: OwnedSemaphorePermit,
    pub(crate) operating: OperatingData,
}

/// The event of a request that is refused for this reason.
fn with_refusal(event: &Event, why: &Problem) -> Event {
    Event {
        refused: Some(why.code.as_str().into()),
        ..event.clone()
    }
}

impl<T: Target> AdminRequest<T> {
    /// Refuses a request without a valid secret (401), with a secret that lacks the right (403) or
    /// has too many requests at once (429), and with a malformed id in its path (400). Each refusal
    /// is audited.
    pub(crate) async fn begin(
        action: &'static str,
        right: impl Into<Option<Right>>,
        request: &HttpRequest,
        operating: OperatingData,
    ) -> Result<Self, Problem> {
        let mut event = Event::new(Activity::request(action), origin(request));
        let path = request.match_info().load().unwrap_or_default();
        let apps = operating.login.apps.all();
        let known = Known {
            apps: &apps,
            vault: &operating.login.vault.load_full(),
        };
        let target = T::named_by(&path, &mut event, &known);
        if let Some(app) = &event.app {
            event.platform = apps.platform(app);
            event.app_kind = apps.kind_label(app);
        }
        let by = operating
            .tokens
            .holder(request)
            .await
            .inspect_err(|problem| {
                with_refusal(&event, problem)
                    .tell_bounded(&format!("{action} {}", event.address()));
            })?;
        event.by = Some(by.name.clone());
        event.subject = by.identity.as_ref().map(|it| it.subject.clone());
        let refused = |problem: &Problem| with_refusal(&event, problem).tell();
        right
            .into()
            .map_or(Ok(()), |right| by.must_have(right))
            .inspect_err(refused)?;
        let target = target.inspect_err(refused)?;
        let permit = by.place().inspect_err(|problem| {
            with_refusal(&event, problem).tell_bounded(&format!("{action} {}", by.name));
        })?;
        Ok(Self {
            action,
            by,
            event,
            target,
            _permit: permit,
            operating,
        })
    }

    /// As [`Self::run`], and answers what `work` has found as JSON.
    pub(crate) async fn show<Found: Serialize + 'static, E: Into<Refusal>>(
        self,
        work: impl AsyncFnOnce(&Operating, &T) -> Result<Found, E> + 'static,
    ) -> Answer {
        Ok(private(self.run(work).await?))
    }

    /// Does `work` even if the client disconnects, and writes its outcome to the audit log. If
    /// `work` returns nothing, the answer is 204.
    pub(crate) async fn run<Found: 'static, E: Into<Refusal>>(
        self,
        work: impl AsyncFnOnce(&Operating, &T) -> Result<Found, E> + 'static,
    ) -> Result<Found, Problem> {
        run_to_completion(async move { self.done(work(&self.operating, &self.target).await) }).await
    }

    /// Writes a refusal to the audit log. Successful preparation writes no event; `done` does.
    pub(crate) fn audit_failure<Value>(
        &self,
        read: Result<Value, Problem>,
    ) -> Result<Value, Problem> {
        if read.is_ok() { read } else { self.done(read) }
    }

    /// Writes the outcome to the audit log.
    pub(crate) fn done<Value, E: Into<Refusal>>(
        &self,
        outcome: Result<Value, E>,
    ) -> Result<Value, Problem> {
        let outcome = outcome.map_err(E::into);
        let event = match &outcome {
            Ok(_) => self.event.clone(),
            Err(refusal) => refusal.of(self.event.clone()),
        };
        if let Some(activity) = Activity::changing_account(self.action) {
            Event {
                activity,
                ..event.clone()
            }
            .tell();
        }
        event.tell();
        outcome.map_err(|refusal| refusal.problem)
    }
}

impl AdminRequest<Person> {
    /// Does `work`, and names in the audit event the user that the person had, because the person
    /// may soon have another user. `work` returns that user, and whether anything else was known
    /// about the person.
    pub(crate) async fn change_person(
        mut self,
        work: impl AsyncFnOnce(&Operator<'_>, &Person) -> Result<(Option<UserId>, bool), OperatorError>
        + 'static,
    ) -> Done {
        let changing = async move {
            let login = &self.operating.login;
            let app = &self.target.app;
            let changed = work(&self.operating.operator(), &self.target).await;
            let calls = login.app_calls();
            let computed = login
                .ids
                .of_openid(&self.target)
                .filter(|_| calls.check_app(app, false).is_ok());
            let changed = match (changed, computed) {
                // The session that names the user may have expired, and Redis may have lost it.
                (Ok((None, more)), Some(user)) => {
                    let mut done = login.store.revocations.revoke_in_app(&user, app).await;
                    if done.is_ok() && self.action == "erase_person" {
                        done = login
                            .store
                            .bindings
                            .remove_from_list(&user, &self.target)
                            .await;
                    }
                    done.map(|()| (Some(user), more))
                        .map_err(OperatorError::from)
                }
                (changed, _) => changed,
            };
            self.event.user = changed.as_ref().ok().and_then(|(user, _)| user.clone());
            self.done(changed.and_then(|(user, more)| {
                calls
                    .check_app(app, user.is_some() || more)
                    .map_err(OperatorError::from)
            }))
        };
        run_to_completion(changing).await
    }
}

/// The parts of a path, percent-decoded. A part that the path does not have is empty.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Parts {
    user_id: String,
    appid: String,
    openid: String,
}

/// The apps in use, and the vault that names persons in the audit log.
pub(crate) struct Known<'a> {
    apps: &'a Apps,
    vault: &'a Vault,
}

/// The user, app or person that a request concerns, as its path names it.
pub(crate) trait Target: Sized + 'static {
    /// Reads the target from the path, and names it in the audit event: the user, the app and the
    /// person, but never an openid.
    fn named_by(path: &Parts, event: &mut Event, known: &Known<'_>) -> Result<Self, Problem>;
}

fn part<T: FromStr<Err = InvalidId>>(text: &str, name: &str) -> Result<T, Problem> {
    text.parse().map_err(|error| invalid_part(name, error))
}

fn invalid_part(name: &str, error: InvalidId) -> Problem {
    Problem::invalid(format!("The {name} {error}."))
}

/// The target of a request that concerns neither a user nor a person.
impl Target for () {
    fn named_by(_: &Parts, _: &mut Event, _: &Known<'_>) -> Result<Self, Problem> {
        Ok(())
    }
}

impl Target for UserId {
    fn named_by(path: &Parts, event: &mut Event, _: &Known<'_>) -> Result<Self, Problem> {
        part(&path.user_id, "user id").inspect(|user| event.user = Some(Self::clone(user)))
    }
}

impl Target for AppId {
    fn named_by(path: &Parts, event: &mut Event, _: &Known<'_>) -> Result<Self, Problem> {
        part(&path.appid, "AppID").inspect(|app| event.app = Some(Self::clone(app)))
    }
}

impl Target for (UserId, AppId) {
    fn named_by(path: &Parts, event: &mut Event, known: &Known<'_>) -> Result<Self, Problem> {
        Ok((
            UserId::named_by(path, event, known)?,
            AppId::named_by(path, event, known)?,
        ))
    }
}

impl Target for Person {
    fn named_by(path: &Parts, event: &mut Event, known: &Known<'_>) -> Result<Self, Problem> {
        let app = part(&path.appid, "AppID")?;
        // An app that has left the configuration was of WeChat, as far as anybody can tell.
        let platform = known.apps.platform(&app).unwrap_or_default();
        let person = Self {
            platform,
            app,
            openid: OpenId::new(platform, &path.openid)
                .map_err(|error| invalid_part("openid", error))?,
        };
        event.app = Some(person.app.clone());
        event.person = Some(known.vault.audit_name(&person));
        Ok(person)
    }
}
