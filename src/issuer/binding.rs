//! `/binding`: unpack, call, pack.

use actix_web::{HttpRequest, HttpResponse, web};

use super::{to_the_end::to_the_end, worker::Worker};
use crate::{
    http::{Problem, no_valid_token, now},
    verify::{Claims, Verified},
};

/// Dissolve this mini program's binding
///
/// The binding that the token was issued under. All tokens that its user has of this mini program are ended. The next login
/// asks who the person is.
#[utoipa::path(delete, path = "/binding", tag = "leave", security(("bearer" = [])),
    responses((status = 204, description = "Dissolved")))]
pub(super) async fn dissolve(request: HttpRequest, worker: web::Data<Worker>) -> HttpResponse {
    let answer = async {
        let token = worker.issuer.verify(&request, now())?;
        to_the_end(unbind(worker, token)).await?;
        Ok(HttpResponse::NoContent().finish())
    };
    answer.await.unwrap_or_else(|problem: Problem| problem.respond(&request))
}

async fn unbind(worker: web::Data<Worker>, token: Verified<Claims>) -> Result<(), Problem> {
    let dissolved = worker.login.unbind(&token).await?;
    let (user, app) = (token.user.as_str(), token.app.as_str());
    if !dissolved {
        return Err(no_valid_token());
    }
    tracing::info!(user, app, "binding dissolved");
    Ok(())
}
