//! `/logout` and `/binding`: log out, and unbind.

use actix_web::HttpRequest;
use actix_web::web::{self, Payload};
use utoipa::ToSchema;
use wxmint_http::{Done, Fields, Problem, SMALL_BODY, origin, read_body, run_to_completion};
use wxmint_ids::{ClientId, Person};
use wxmint_telemetry::audit::{Activity, Event};
use wxmint_verify::{Claims, Verified};

use super::{cross_origin, state::IssuerWorker};
use crate::login::{LoginParts, TokenActionError, is_of_client, issued};
use crate::{clock::now, refusals::Refusal};

/// The body of `POST /logout`, which may be left out.
#[derive(Default, ToSchema)]
pub(super) struct LogoutBody {
    /// True revokes all of the user's tokens, false only this one.
    #[schema(default = false, required = false)]
    everywhere: bool,
}

impl LogoutBody {
    fn from_json(body: &[u8]) -> Result<Self, Problem> {
        if body.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        let wrong = |_| {
            Problem::invalid(
                "The body must be empty or {\"everywhere\": true} or {\"everywhere\": false}.",
            )
        };
        let fields = Fields::from_json(body, &["everywhere"]).map_err(wrong)?;
        let everywhere = fields.flag("everywhere").map_err(wrong)?;
        Ok(Self { everywhere })
    }
}

/// Log out
///
/// Deletes the session key, and revokes the token. Verifiers that follow `/revocations` refuse the
/// token within 10 s, others once it expires. After a 503, repeat the request. Logging out again
/// with the same token is allowed.
#[utoipa::path(post, path = "/logout", tag = "leave", security(("bearer" = [])),
    request_body(content = Option<LogoutBody>, examples(
        ("alone" = (summary = "This token", value = json!({"everywhere": false}))),
        ("everywhere" = (summary = "All of the user's tokens", value = json!({"everywhere": true}))),
    )),
    responses((status = 204, description = "Logged out")))]
pub(super) async fn logout(
    request: HttpRequest,
    payload: Payload,
    worker: web::Data<IssuerWorker>,
) -> Done {
    let (event, token) = begin(Activity::LOGOUT, &request, &worker)?;
    let body = read_body(payload, SMALL_BODY).await;
    let LogoutBody { everywhere } = body
        .and_then(|body| LogoutBody::from_json(&body))
        .map_err(|problem| refused(&event, problem))?;
    let event = Event {
        note: everywhere.then(|| "everywhere".into()),
        ..event
    };
    let issuer = worker.issuer.clone();
    let leaving = async move |login: &LoginParts, token: &_, person: &mut _| {
        login
            .token_actions()
            .log_out(token, everywhere, person)
            .await?;
        let doors = if everywhere || !is_of_client(&issuer.minter, token) {
            &[]
        } else {
            &issuer.doors[..]
        };
        for open in doors {
            open.door.revoke_login(login, issued(token)).await?;
        }
        Ok(())
    };
    leave(worker, event, token, leaving).await
}

fn begin(
    act: Activity,
    request: &HttpRequest,
    worker: &IssuerWorker,
) -> Result<(Event, Verified<Claims>), Problem> {
    let event = Event::new(act, origin(request));
    let token = worker
        .issuer
        .verify(request, now())
        .map_err(|problem| refused(&event, problem))?;
    cross_origin::readable_by_pages_of(request, worker, &token.app);
    let (user, of) = (Some(token.user.clone()), token.app.clone());
    let (app, client) = if is_of_client(&worker.issuer.minter, &token) {
        (None, Some(ClientId(of)))
    } else {
        (Some(of), None)
    };
    let apps = worker.issuer.apps.all();
    let platform = app.as_ref().and_then(|app| apps.platform(app));
    let app_kind = app.as_ref().and_then(|app| apps.kind_label(app));
    Ok((
        Event {
            user,
            app,
            platform,
            app_kind,
            client,
            ..event
        },
        token,
    ))
}

/// Reports a refused request, which a stranger may have sent.
fn refused(event: &Event, problem: Problem) -> Problem {
    Refusal::from(problem).tell(event.clone(), event.address())
}

/// Does `work` even if the client disconnects, and reports its outcome. `work` finds out the
/// person. The holder of a token may repeat a request without end, so the reports are bounded, for
/// each address.
async fn leave(
    worker: web::Data<IssuerWorker>,
    event: Event,
    token: Verified<Claims>,
    work: impl AsyncFnOnce(
        &LoginParts,
        &Verified<Claims>,
        &mut Option<Person>,
    ) -> Result<(), TokenActionError>
    + 'static,
) -> Done {
    let leaving = async move {
        let mut person = None;
        let done = work(&worker.login, &token, &mut person).await;
        let person = person.map(|person| worker.issuer.vault.load_full().audit_name(&person));
        let event = Event { person, ..event };
        let address = event.address().to_owned();
        if let Err(error) = done {
            return Err(Refusal::by_token(error).tell(event, &format!("{} {address}", token.user)));
        }
        let (user, app) = (token.user.as_str(), token.app.as_str());
        match event.activity {
            Activity::UNBIND => bounded!(
                info,
                &format!("unbind {user}"),
                user,
                app,
                "binding dissolved"
            ),
            _ => bounded!(
                info,
                &format!("logout {user}"),
                user,
                app,
                everywhere = event.note.is_some(),
                "logged out"
            ),
        }
        event.tell_bounded(&format!("{} {address}", token.id.as_str()));
        Ok(())
    };
    run_to_completion(leaving).await
}

/// Dissolve this mini program's binding
///
/// Removes the binding under which the token was issued, and revokes all tokens that its user has
/// for this mini program: verifiers that follow `/revocations` refuse them within 10 s. After a
/// 503, repeat the request. The next login asks again which user the person is.
#[utoipa::path(delete, path = "/binding", tag = "leave", security(("bearer" = [])),
    responses((status = 204, description = "Dissolved")))]
pub(super) async fn dissolve(request: HttpRequest, worker: web::Data<IssuerWorker>) -> Done {
    let (event, token) = begin(Activity::UNBIND, &request, &worker)?;
    let leaving = async |login: &LoginParts, token: &_, person: &mut _| {
        login.token_actions().unbind(token, person).await
    };
    leave(worker, event, token, leaving).await
}
