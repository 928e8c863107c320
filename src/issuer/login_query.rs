//! The login of older pages, which send GET.

use actix_web::{HttpRequest, web::Data};
use wxmint_http::{Answer, Fields};

use super::login_fields::{LoginAnswer, LoginBody, NAMES, NO_CODE, SEND_BY_POST, no_fields, without_credentials};
use super::login_route::{Asked, answer, asked_by};
use super::state::IssuerWorker;

/// Log in with a code alone
///
/// For pages that send GET, as wx.request does unless told otherwise.
#[utoipa::path(get, path = "/login", tag = "older pages",
    params(("code" = String, Query, description = "The code of wx.login"),
        ("appid" = Option<String>, Query, description = "Which mini program; needed only where several are configured, \
            and the Referer that WeChat sends does not tell.")),
    responses((status = 200, description = "Logged in", body = LoginAnswer)))]
pub(super) async fn login_by_query(request: HttpRequest, worker: Data<IssuerWorker>) -> Answer {
    let asked = LoginBody::from_query(request.query_string(), worker.issuer.settings.dangerous_password_in_query);
    answer(&request, worker, asked).await
}

impl LoginBody {
    /// From a query string. Credentials in it are refused, unless it may hold them, for pages that were published so
    /// (`WXMINT_DANGEROUS_PASSWORD_IN_QUERY`).
    pub fn from_query(query: &str, may_hold_password: bool) -> Asked {
        let fields = match may_hold_password {
            true => Fields::from_form(query.as_bytes(), NAMES).map_err(no_fields)?,
            false => without_credentials(query, SEND_BY_POST)?,
        };
        asked_by(&fields, NO_CODE)
    }
}
