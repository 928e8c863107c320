//! A grant: a person has logged in, and a client may fetch the token.

use actix_web::{HttpRequest, HttpResponse, http::header};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use wxmint_http::{origin, private};
use wxmint_ids::ClientId;
use wxmint_keys::token::{ExtraClaims, Issued};
use wxmint_telemetry::audit::{Activity, Event};

use super::clients::Client;
use crate::login::{Admission, LoginError, LoginParts, RequestError};

/// The token that a login grants. It is signed when the client fetches it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The token's claims. `app` holds the client's id.
    pub(crate) token: Issued,
    /// The claims of the account backend.
    pub(crate) claims: ExtraClaims,
    /// The tag of the binding of the person who has logged in.
    pub(crate) mark: String,
}

impl Grant {
    /// Issues the token that the client may fetch.
    pub(crate) async fn issue(
        login: &LoginParts,
        to: &Client,
        admission: &Admission,
        now: DateTime<Utc>,
    ) -> Result<Self, LoginError> {
        let minter = login.minter.with(&to.audience, to.token_ttl);
        let token = login
            .issuance()
            .date_for_client(&to.id, &minter, admission, now)
            .await?;
        Ok(Self {
            token,
            claims: admission.extra.clone(),
            mark: admission.mark(),
        })
    }
}

/// Why a page gets no grant of a phone.
#[derive(Debug, thiserror::Error)]
pub enum NotGranted {
    #[error("no request of this client, at this door and with this app, has the device code")]
    Unknown,
    /// `scanned`: a phone has viewed the request.
    #[error("the request waits for the person")]
    Pending { scanned: bool },
    #[error("the page has polled too soon: from now on it must wait 5 seconds longer")]
    TooSoon,
    #[error("the request was denied, or its token has been revoked")]
    Denied,
    #[error("the request or its token has expired")]
    Expired,
    /// Holds the token, which is revoked now.
    #[error("the grant was fetched before")]
    Repeated(Box<Issued>),
    /// The page has got no grant by this request, and may repeat it.
    #[error(transparent)]
    Failed(RequestError),
}

impl<E: Into<RequestError>> From<E> for NotGranted {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// An answer with a token, which no cache may keep (RFC 6749 section 5.1).
pub(crate) fn uncached(answer: impl Serialize) -> HttpResponse {
    let mut answer = private(answer);
    answer
        .headers_mut()
        .insert(header::PRAGMA, header::HeaderValue::from_static("no-cache"));
    answer
}

/// Logs and audits that a one-time code or token was used twice, so that the client's token was
/// revoked.
pub(crate) fn tell_of_theft(request: &HttpRequest, token: &Issued, found: &'static str) {
    bounded!(
        warn,
        token.id.as_str(),
        client_id = token.app.as_str(),
        "{found}, so its token was revoked"
    );
    let ended = Event {
        client: Some(ClientId(token.app.clone())),
        user: Some(token.user.clone()),
        note: Some(found.into()),
        ..Event::new(Activity::END, origin(request))
    };
    ended.tell_bounded(token.id.as_str());
}
