//! The parts of a door that serve clients: grants at `/token`, and the login of a page by a phone.

use actix_web::HttpRequest;
use async_trait::async_trait;
use futures_util::future::LocalBoxFuture;
use wxmint_http::{Answer, Fields};

use super::{Issuer, IssuerWorker};
use crate::login::RequestError;
use crate::oauth::clients::Client;
use crate::oauth::grant::{Grant, NotGranted};

/// A request to `/token`, its form, and its authenticated client.
#[derive(Clone, Copy)]
pub struct TokenRequest<'a> {
    pub(crate) request: &'a HttpRequest,
    pub(crate) fields: &'a Fields<'a>,
    pub(crate) client: &'a Client,
}

/// The grants of a door at `/token`.
#[async_trait(?Send)]
pub trait TokenGrants {
    /// The fields of the form that its grants read, besides those by which a client authenticates.
    fn fields(&self) -> &'static [&'static str];

    /// The grant types that this client may use. The metadata and errors name them.
    fn grant_types(&self, client: &Client) -> &'static [&'static str];

    /// Answers a request with this grant type. `None` if the door has no such grant for the client.
    async fn grant(
        &self,
        asked: TokenRequest<'_>,
        grant_type: &str,
        worker: &IssuerWorker,
    ) -> Option<Answer>;
}

/// A request of a page that a phone logs in.
#[derive(Clone, Copy)]
pub struct PhoneLoginRequest<'a> {
    pub(crate) request: &'a HttpRequest,
    pub(crate) worker: &'a IssuerWorker,
    pub(crate) client: &'a Client,
    /// The door whose page it is. Pages of other doors cannot fetch the grant.
    pub(crate) door: &'static str,
}

/// Makes the page's answer of a grant.
pub(crate) type Give<'a> =
    Box<dyn FnOnce(Grant) -> LocalBoxFuture<'a, Result<String, RequestError>> + 'a>;

/// The login of a page by a phone, which a door offers to pages of other doors (RFC 8628).
#[async_trait(?Send)]
pub trait PhoneLogin {
    /// Opens a device request. The answer says what the page shows.
    async fn ask_phone(&self, page: PhoneLoginRequest<'_>) -> Answer;

    /// Gives the page its grant once: calls `give` with the grant and returns the result. The
    /// device code is used up only after `give` has succeeded.
    async fn fetch_grant(
        &self,
        page: PhoneLoginRequest<'_>,
        device_code: &str,
        give: Give<'_>,
    ) -> Result<String, NotGranted>;
}

impl Issuer {
    pub(super) fn token_grants(&self) -> impl Iterator<Item = &dyn TokenGrants> {
        self.doors
            .iter()
            .filter_map(|open| open.door.token_grants())
    }

    /// The login by a phone, if the door for it is open.
    pub(crate) fn phone_login(&self) -> Option<&dyn PhoneLogin> {
        self.doors.iter().find_map(|open| open.door.phone_login())
    }
}
