//! `/logout` and `/binding`: ways to leave.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Payload},
};
use utoipa::ToSchema;

use super::build::IssuerWorker;
use crate::{
    http::{Answer, Fields, Problem, SMALL_BODY, now, read_body, to_the_end},
    login::SessionError,
};

/// The body of `POST /logout`, which may be left out.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; `everywhere` reads it")]
pub(super) struct LogoutBody {
    /// True ends all of the user's tokens, false only this one.
    #[schema(default = false, required = false)]
    everywhere: bool,
}

/// Log out
///
/// Forgets the session key, and refuses the token from then on. Verifiers that follow `/revocations` refuse it within 10 s,
/// others once it expires. After a 503, repeat the request. Logging out again with the same token is allowed.
#[utoipa::path(post, path = "/logout", tag = "leave", security(("bearer" = [])),
    request_body(content = Option<LogoutBody>, examples(
        ("alone" = (summary = "This token", value = json!({"everywhere": false}))),
        ("everywhere" = (summary = "All of the user's tokens", value = json!({"everywhere": true}))),
    )),
    responses((status = 204, description = "Logged out")))]
pub(super) async fn logout(request: HttpRequest, payload: Payload, worker: web::Data<IssuerWorker>) -> Answer {
    let token = worker.issuer.verify(&request, now())?;
    let everywhere = everywhere(&read_body(payload, SMALL_BODY).await?)?;
    let logging_out = async move {
        worker.login.log_out(&token, everywhere).await?;
        tracing::info!(user = token.user.as_str(), app = token.app.as_str(), everywhere, "logged out");
        Ok::<_, SessionError>(())
    };
    to_the_end(logging_out).await?;
    Ok(HttpResponse::NoContent().finish())
}

fn everywhere(body: &[u8]) -> Result<bool, Problem> {
    if body.trim_ascii().is_empty() {
        return Ok(false);
    }
    let everywhere = Fields::from_json(body, &["everywhere"]).and_then(|fields| fields.flag("everywhere"));
    everywhere
        .map_err(|_| Problem::invalid("The body must be empty or {\"everywhere\": true} or {\"everywhere\": false}."))
}

/// Dissolve this mini program's binding
///
/// Dissolves the binding that the token was issued under, and ends all tokens that its user has for this mini program:
/// verifiers that follow `/revocations` refuse them within 10 s.
/// The next login asks again which user the person is.
#[utoipa::path(delete, path = "/binding", tag = "leave", security(("bearer" = [])),
    responses((status = 204, description = "Dissolved")))]
pub(super) async fn dissolve(request: HttpRequest, worker: web::Data<IssuerWorker>) -> Answer {
    let token = worker.issuer.verify(&request, now())?;
    let unbinding = async move {
        worker.login.unbind(&token).await?;
        tracing::info!(user = token.user.as_str(), app = token.app.as_str(), "binding dissolved");
        Ok::<_, SessionError>(())
    };
    to_the_end(unbinding).await?;
    Ok(HttpResponse::NoContent().finish())
}
