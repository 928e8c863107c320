//! Scan to log in (RFC 8628): the page's side, the phone's side, and what WeChat's console wants. These routes are
//! there only where `WXMINT_CLIENTS_FILE` is set.

mod check_files;
mod client_auth;
mod page;
mod phone;
mod token;

use std::sync::Arc;

use utoipa::OpenApi;

pub(super) use self::check_files::check_files;
use super::{
    IssuerStartError,
    declared::{ANY, BILLED, BODY, HEAD, IDENTITY, LIMIT, SECURITY, STORE, TOKEN, WECHAT},
    examine::unusable_file,
    loaded::load,
    state::IssuerWorker,
};
use crate::{
    clients::Clients,
    http::{
        Answer, Problem,
        ProblemCode::{self, *},
        ProblemDocument,
        described::{DescribedRoute, GET, POST, READ, Routes, routes},
    },
    secret_files::{MAKE_CLIENTS, WatchedFile},
    settings::Settings,
};

const GONE: &[ProblemCode] = &[UnknownDeviceCode];
const PHONE: &[ProblemCode] = &[Forbidden, UnknownDeviceCode];
const APPROVAL: &[ProblemCode] = &[MatchWrong, CodeInvalid, CodeUsed];

routes! {
    #[openapi(tags((name = "scan", description = "To log a page in by the mini program")))]
    POST "/device_authorization" page::device_authorization [STORE, LIMIT], BODY;
    POST "/token" token::token [STORE], BODY;
    READ "/device" page::show [], HEAD;
    GET "/device/{user_code}/code.jpg" page::picture [ANY, GONE, LIMIT, UNAVAILABLE], HEAD;
    GET "/device/{user_code}" phone::look [ANY, TOKEN, PHONE, LIMIT], HEAD;
    POST "/device/{user_code}/approve" phone::approve [ANY, TOKEN, PHONE, APPROVAL, IDENTITY, LIMIT, BILLED, WECHAT], BODY;
    POST "/device/{user_code}/deny" phone::deny [ANY, TOKEN, PHONE, LIMIT], HEAD;
}

const UNAVAILABLE: &[ProblemCode] = &[WechatUnavailable];

impl IssuerWorker {
    /// None where no file is set.
    pub(super) fn clients(&self) -> Arc<Clients> {
        self.issuer.clients.as_ref().map(|clients| clients.load_full()).unwrap_or_default()
    }
}

/// The file of `WXMINT_CLIENTS_FILE` and its content, if there is one.
pub(super) fn load_clients(settings: &Settings) -> Result<Option<(WatchedFile, Clients)>, IssuerStartError> {
    let Some(path) = &settings.clients_file else { return Ok(None) };
    let parse = |content: &[u8]| Clients::parse(content, settings.token_ttl);
    let unusable = |error| unusable_file("clients", "WXMINT_CLIENTS_FILE", path, error);
    load("WXMINT_CLIENTS_FILE", path, Some(MAKE_CLIENTS), parse, unusable).map(Some)
}

pub(super) fn described() -> utoipa::openapi::OpenApi {
    Described::openapi()
}

/// A problem of the endpoints of OAuth, with the code that RFC 6749 has for it.
fn of_oauth(problem: Problem) -> Problem {
    let code = match problem.status().as_u16() {
        429 => "slow_down",
        503 => "temporarily_unavailable",
        400..=499 => "invalid_request",
        _ => "server_error",
    };
    problem.oauth(code)
}

/// The answer, with the code of OAuth if it is a problem that has none.
fn to_oauth(answer: Answer) -> Answer {
    answer.map_err(|problem| if problem.is_oauth() { problem } else { of_oauth(problem) })
}
