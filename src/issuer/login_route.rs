//! `/login`: reads the request, calls the login, and writes the answer.

use std::time::{Duration, Instant};

use actix_web::http::{StatusCode, header};
use actix_web::web::{Data, Payload};
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use wxmint_http::{
    Answer, Problem, ProblemCode, SMALL_BODY, origin, private, read_body, run_to_completion,
};
use wxmint_ids::AppId;
use wxmint_store::AttemptId;
use wxmint_telemetry::LoginInFlight;
use wxmint_telemetry::audit::{self, Activity, Event};
use wxmint_wechat::App;

use super::login_fields::{Asked, LoginAnswer, LoginBody};
use super::{cross_origin, state::IssuerWorker};
use crate::login::{Attempt, AuditContext, LoggedIn, LoginRequest, OPENID, USERNAME};
use crate::{apps::app_of_referer, clock::now, refusals::Refusal};

/// Turn a login code into a token
///
/// JSON, or a form (`application/x-www-form-urlencoded`) with the same fields. A mini program sends
/// the code of wx.login; an official account's page, a website or a mobile app that of WeChat's
/// OAuth2. To try it here, choose an example. A code works once. In `wxmint demo`, this page
/// replaces the code of an example, and one that it has sent, by a fresh one. Elsewhere, insert a
/// code that `wx.login` has just given, for instance in the console of WeChat's developer tools.
#[utoipa::path(post, path = "/login", tag = "login",
    request_body(content = LoginBody, examples(
        ("code" = (summary = "A code of wx.login", value = json!({"code": "0e3Xk7000Y8bzS1Qbq100k8Abc2Xk70h"}))),
        ("code of an app" = (summary = "Where several mini programs are configured",
            value = json!({"code": "0e3Xk7000Y8bzS1Qbq100k8Abc2Xk70h", "appid": "wx0123456789abcdef"}))),
        ("code, with password" = (summary = "To bind the person to an account by its password",
            value = json!({"code": "0e3Xk7000Y8bzS1Qbq100k8Abc2Xk70h", "username": "lin", "password": "jasmine"}))),
        ("code, with phone number" = (summary = "To log in by phone number",
            value = json!({"code": "0e3Xk7000Y8bzS1Qbq100k8Abc2Xk70h", "phone_code": "bf7a7e8e3a1d4c0d9f6b2e5c8a7d4f10"}))),
        ("ticket, with password" = (summary = "After binding_required",
            value = json!({"bind_ticket": "3q2-7wAAAAAAAAAAAAAAAA", "username": "lin", "password": "jasmine"}))),
    )),
    responses((status = 200, description = "Logged in", body = LoginAnswer)))]
pub(super) async fn login_by_post(
    request: HttpRequest,
    payload: Payload,
    worker: Data<IssuerWorker>,
) -> Answer {
    let asked = read_post(&request, payload).await;
    answer(&request, worker, asked).await
}

/// Log in with a code alone
///
/// For pages that send GET, as wx.request does unless told otherwise.
#[utoipa::path(get, path = "/login", tag = "older pages",
    params(("code" = String, Query, description = "The code of wx.login"),
        ("appid" = Option<String>, Query, description = "Which mini program; needed only where several are configured, \
            and the Referer that WeChat sends does not tell.")),
    responses((status = 200, description = "Logged in", body = LoginAnswer)))]
pub(super) async fn login_by_query(request: HttpRequest, worker: Data<IssuerWorker>) -> Answer {
    let asked = LoginBody::from_query(
        request.query_string(),
        worker.issuer.settings.dangerous_password_in_query,
    );
    answer(&request, worker, asked).await
}

async fn read_post(request: &HttpRequest, payload: Payload) -> Asked {
    if !request.query_string().is_empty() {
        LoginBody::refuse_password_beside_body(request.query_string())?;
    }
    let is = |media_type| request.content_type().eq_ignore_ascii_case(media_type);
    let is_json = is("application/json");
    if !is_json && !is("application/x-www-form-urlencoded") {
        let detail = "Send the header `Content-Type: application/json` (or application/x-www-form-urlencoded).";
        return Err(Problem::invalid(detail).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let body = read_body(payload, SMALL_BODY).await?;
    if is_json {
        LoginBody::from_json(&body)
    } else {
        LoginBody::from_form(&body)
    }
}

/// Does the login even if the client disconnects, so that it is counted, logged and audited.
async fn answer(request: &HttpRequest, worker: Data<IssuerWorker>, asked: Asked) -> Answer {
    let asked = asked.map(|asked| LoginRequest {
        app_hint: app_hint(request),
        ..asked
    });
    let is_refused = asked.is_err();
    let is_of_page = request.headers().contains_key(header::ORIGIN);
    let named = asked
        .as_ref()
        .map(|asked| [asked.app.clone(), asked.app_hint.clone()])
        .unwrap_or_default();
    if is_of_page
        && let Ok(app) = worker
            .issuer
            .apps
            .all()
            .choose(named[0].as_ref(), named[1].as_ref())
    {
        cross_origin::readable_by_pages_of(request, &worker, &app.id);
    }
    let at = worker.clone();
    let origin = origin(request);
    let login = async move {
        let mut attempt = LoginAttempt::begin(&at, named);
        let address = origin.address.as_deref().unwrap_or_default();
        let outcome = attempt
            .make(address, async |attempt| {
                Ok(at.login.log_in().log_in(asked?, attempt).await?)
            })
            .await;
        let app = if is_of_page {
            attempt.audit_context.app.clone()
        } else {
            None
        };
        let took = attempt.end(
            Event::new(Activity::LOGIN, origin),
            outcome.as_ref().map(|done| done.new_user),
        );
        let answer = outcome
            .map(|logged_in| welcome(&at, logged_in, took))
            .map_err(|refusal| refusal.problem);
        (answer, app)
    };
    // After a body that it cannot decode, actix-web sends an answer only if the answer is ready at
    // once.
    let (answer, app) = if is_refused {
        Box::pin(login).await
    } else {
        run_to_completion(login).await
    };
    if let Some(app) = app {
        // By now the app is known even if only a ticket named it.
        cross_origin::readable_by_pages_of(request, &worker, &app);
    }
    answer
}

/// A login in progress, for an app or for a client.
pub(crate) struct LoginAttempt<'w> {
    worker: &'w IssuerWorker,
    started: Instant,
    in_flight: LoginInFlight,
    /// The app that the request names, and the one of its Referer.
    named: [Option<AppId>; 2],
    pub(crate) audit_context: AuditContext,
}

impl<'w> LoginAttempt<'w> {
    pub(crate) fn begin(worker: &'w IssuerWorker, named: [Option<AppId>; 2]) -> Self {
        let started = Instant::now();
        let in_flight = worker.issuer.metrics.login_begins();
        Self {
            worker,
            started,
            in_flight,
            named,
            audit_context: AuditContext::default(),
        }
    }

    /// Does the `login`, which comes from this address. Pending logins cannot exceed connections,
    /// unless clients disconnect while Redis is slow.
    pub(crate) async fn make<T>(
        &mut self,
        address: &str,
        login: impl AsyncFnOnce(&mut Attempt<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        if self.in_flight.others >= self.worker.issuer.settings.max_connections {
            let detail = "Too many logins wait for an answer. Wait, then try again.";
            return Err(Problem::new(ProblemCode::StoreUnavailable, detail)
                .retry_after(Duration::from_secs(1))
                .into());
        }
        login(&mut Attempt {
            id: AttemptId::random(),
            address,
            audit_context: &mut self.audit_context,
            now: now(),
        })
        .await
    }

    /// Reports the login to metrics, log and audit. `outcome` says whether it created the user, or
    /// why it was refused. Returns how long it took.
    pub(crate) fn end(self, event: Event, outcome: Result<bool, &Refusal>) -> Duration {
        let Self {
            worker,
            started,
            named: [named, hint],
            audit_context,
            ..
        } = self;
        let took = started.elapsed();
        let result = match &outcome {
            Ok(_) => "ok",
            Err(refusal) => refusal.problem.code.as_str(),
        };
        // The app is looked up again, because an app that was removed meanwhile must not be a
        // label.
        let apps = worker.issuer.apps.all();
        let app = apps
            .choose(audit_context.app.as_ref().or(named.as_ref()), hint.as_ref())
            .ok();
        let platform = app.map(App::platform);
        worker
            .issuer
            .metrics
            .login_ended(platform, app.map(|app| app.id.clone()), result, took);
        if let Err(refusal) = &outcome {
            refusal.log(took);
        }
        let app_kind = app.and_then(|app| apps.kind_label(&app.id));
        let AuditContext {
            app,
            person,
            client,
            user,
            bound,
        } = audit_context;
        let person = person.filter(|_| audit::is_on());
        let person = person.map(|person| worker.issuer.vault.load_full().audit_name(&person));
        let login = Event {
            app,
            platform,
            app_kind,
            client,
            user,
            person,
            ..event
        };
        if let Some(new_user) = bound {
            Event {
                activity: Activity::BIND,
                client: None,
                new_user,
                ..login.clone()
            }
            .tell();
        }
        match outcome {
            Ok(new_user) => Event { new_user, ..login }.tell(),
            Err(refusal) => tell_refused(refusal.of(login)),
        }
        took
    }
}

fn tell_refused(login: Event) {
    let who = match (login.limit, &login.person) {
        // The person by whom the limit counts.
        (Some(OPENID | USERNAME), name) => name.clone().unwrap_or_default(),
        // Each such login costs a code that WeChat has given to this person, and these are limited.
        (None, Some(_)) => return login.tell(),
        _ => login.address().to_owned(),
    };
    login.tell_bounded(&who);
}

/// The mini program that the Referer names. Anybody can write a Referer, so it is only a hint.
pub(crate) fn app_hint(request: &HttpRequest) -> Option<AppId> {
    app_of_referer(request.headers().get(header::REFERER)?.to_str().ok()?)
}

fn welcome(worker: &IssuerWorker, logged_in: LoggedIn, took: Duration) -> HttpResponse {
    let LoggedIn {
        token,
        expires_in,
        user,
        app,
        new_user,
    } = logged_in;
    if !audit::is_in_log() {
        let user = user.as_str();
        let app = app.as_str();
        tracing::info!(
            user,
            app,
            new_user,
            took_us = took.as_micros() as u64,
            "login"
        );
    }
    let aliases = worker
        .issuer
        .settings
        .token_aliases
        .iter()
        .map(|name| (name.as_str(), &token))
        .collect();
    private(LoginAnswer {
        access_token: &token,
        token_type: "Bearer",
        expires_in,
        user_id: &user,
        new_user,
        aliases,
    })
}
