//! The business's own account service, with the calls of docs/accounts.openapi.yaml. Each call is
//! signed with our key, limited in time, and repeated once if there was no response.

mod answer;

use std::time::{Duration, Instant};
use std::{rc::Rc, sync::Arc};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request, Url};
use serde_json::{Value, json};
use tokio::time::timeout_at;
use wxmint_ids::{AppId, Phone, UserId};
use wxmint_keys::{KeyError, token::ExtraClaims, token::Minter, token::new_token_id};
use wxmint_telemetry::{Metrics, Step};
use wxmint_upstream::{
    Breaker, CallOutcome, Closed, FetchError, HttpClientError, PAUSE, Tls, Upstream,
};

pub use self::answer::{Unusable, read_admission, read_checked, read_found, read_made};
use super::{Accepts, Accounts, AccountsError, Named, Password, Result, Username};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The time for both attempts together, to the last byte. A service that is this slow is not asked
/// again.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(3);
/// The pause before the second attempt, in which a restarting service may return and a closing
/// connection is closed.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// The most calls in flight in one process. Seven eighths of it are used, because the breaker keeps
/// the rest free for other apps. If checking a password takes 100 ms, this allows 2,200 per second.
const MAX_IN_FLIGHT: u32 = 256;

/// The client of the account service, for one worker thread.
pub struct ServiceAccounts {
    http: Upstream,
    minter: Arc<Minter>,
    /// Each kind of call has a share of its own, as an app has at WeChat, and so do the passwords
    /// of each address.
    breaker: Rc<Breaker<(&'static str, String)>>,
    metrics: Metrics,
    clock: fn() -> DateTime<Utc>,
    base: Url,
    /// Whether the service is asked at each login (`WXMINT_ACCOUNTS_CHECK`).
    checks_logins: bool,
}

/// The path of a call below the base, its name in metrics, and the client's address for password
/// checks, else empty.
type Call<'a> = (&'static str, &'static str, &'a str);

enum CallFailure {
    Fetch(FetchError),
    /// There was no response within [`TOTAL_TIMEOUT`].
    Late,
    Unusable(Unusable),
    Unsigned(KeyError),
}

impl ServiceAccounts {
    /// Makes a client for the service at `base`, for one of `workers` threads. With `checks_logins`
    /// the service is asked at each login whether the user may log in, and for claims.
    pub fn new(
        base: &Url,
        tls: &Tls,
        workers: u32,
        minter: Arc<Minter>,
        metrics: Metrics,
        clock: fn() -> DateTime<Utc>,
        checks_logins: bool,
    ) -> Result<Self, HttpClientError> {
        Ok(Self {
            http: Upstream::new(tls, CONNECT_TIMEOUT, TOTAL_TIMEOUT)?,
            minter,
            breaker: Breaker::new(MAX_IN_FLIGHT, workers),
            metrics,
            clock,
            base: base.clone(),
            checks_logins,
        })
    }

    /// Builds the request for one attempt, with a token of its own, because the service may accept
    /// each token only once.
    fn request(&self, path: &str, body: &Value) -> Result<Request, KeyError> {
        let mut request = Request::new(Method::POST, self.base.clone());
        request.url_mut().set_path(&format!(
            "{}/{path}",
            self.base.path().trim_end_matches('/')
        ));
        let text = body.to_string();
        let token = self.minter.sign_request(
            self.base.as_str().trim_end_matches('/'),
            (request.method().as_str(), request.url().as_str()),
            text.as_bytes(),
            &new_token_id(),
            (self.clock)(),
        )?;
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.expose()))
            .expect("base64url and dots");
        bearer.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, bearer);
        request
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // The idempotency key in the signed body counts. The header is for gateways that support
        // it.
        if let Some(key) = body["idempotency_key"]
            .as_str()
            .and_then(|key| HeaderValue::from_str(key).ok())
        {
            request.headers_mut().insert("idempotency-key", key);
        }
        *request.body_mut() = Some(text.into());
        Ok(request)
    }

    /// Makes a call, with limits on the calls in flight, the time and the attempts.
    async fn ask<A>(&self, call: Call<'_>, body: &Value, read: ReadAnswer<A>) -> Result<A> {
        let (path, _, address) = call;
        let permit = self
            .breaker
            .admit(&(path, address.to_owned()), Instant::now())?;
        let deadline = Instant::now() + TOTAL_TIMEOUT;
        let mut answer = self.ask_once(call, body, read, deadline).await;
        let time_left = deadline.saturating_duration_since(Instant::now());
        if answer
            .as_ref()
            .is_err_and(|failure| failure.consequences().may_pass)
            && time_left > RETRY_PAUSE
        {
            tokio::time::sleep(RETRY_PAUSE).await;
            answer = self.ask_once(call, body, read, deadline).await;
        }
        let is_outage = answer
            .as_ref()
            .is_err_and(|failure| failure.consequences().is_outage);
        permit.ended(
            if is_outage {
                CallOutcome::Unanswered
            } else {
                CallOutcome::Succeeded
            },
            Instant::now(),
        );
        Ok(answer?)
    }

    async fn ask_once<A>(
        &self,
        (path, label, _): Call<'_>,
        body: &Value,
        read: ReadAnswer<A>,
        deadline: Instant,
    ) -> Result<A, CallFailure> {
        let step = Step::call("accounts", label, Duration::ZERO);
        let mut request = self.request(path, body).map_err(CallFailure::Unsigned)?;
        if let Some(traceparent) = step.traceparent() {
            request.headers_mut().insert(
                "traceparent",
                traceparent.try_into().expect("digits and hyphens"),
            );
        }
        let started = Instant::now();
        let answer = self.fetch(request, read, deadline).await;
        let outcome = match &answer {
            Ok(_) => "ok",
            Err(failure) => failure.consequences().label,
        };
        let labels = [("call", label), ("outcome", outcome)];
        self.metrics
            .accounts_request_duration
            .get_or_create(&labels)
            .observe(started.elapsed().as_secs_f64());
        step.end(answer.is_err().then_some(outcome));
        answer
    }

    async fn fetch<A>(
        &self,
        request: Request,
        read: ReadAnswer<A>,
        deadline: Instant,
    ) -> Result<A, CallFailure> {
        let fetched = timeout_at(deadline.into(), self.http.fetch(request)).await;
        let in_time = fetched.map_err(|_| CallFailure::Late)?;
        let answer = in_time.map_err(CallFailure::Fetch)?;
        read(answer.status.as_u16(), &answer.body).map_err(CallFailure::Unusable)
    }
}

type ReadAnswer<A> = fn(u16, &[u8]) -> Result<A, Unusable>;

#[async_trait(?Send)]
impl Accounts for ServiceAccounts {
    fn accepts(&self) -> Accepts {
        Accepts::PasswordsAndPhones
    }

    async fn check_password(
        &self,
        app: &AppId,
        name: &Username,
        password: &Password,
        address: &str,
    ) -> Result<Option<UserId>> {
        let body = json!({
            "client_id": app, "username": name.as_str(), "password": password.expose(),
        });
        self.ask(
            ("password-checks", "check_password", address),
            &body,
            read_checked,
        )
        .await
    }

    async fn user_of_phone(&self, app: &AppId, phone: &Phone) -> Result<Option<Named>> {
        let body = json!({
            "client_id": app,
            "phone_number": phone.number,
            "pure_phone_number": phone.pure_number,
            "country_code": phone.country_code,
        });
        self.ask(("users/by-phone", "user_of_phone", ""), &body, read_found)
            .await
    }

    async fn check_login(&self, app: &AppId, user: &UserId) -> Result<Option<ExtraClaims>> {
        match self.checks_logins {
            true => {
                self.ask(
                    ("login-checks", "check_login", ""),
                    &json!({"client_id": app, "user_id": user}),
                    read_admission,
                )
                .await
            }
            false => Ok(Some(ExtraClaims::default())),
        }
    }

    async fn new_user(&self, app: &AppId, key: &str, _: DateTime<Utc>) -> Result<Named> {
        self.ask(
            ("users", "new_user", ""),
            &json!({"client_id": app, "idempotency_key": key}),
            read_made,
        )
        .await
    }
}

struct Consequences {
    /// The outcome in metrics.
    label: &'static str,
    /// Whether a second attempt may succeed. All calls may be repeated: two are idempotent, and two
    /// change nothing.
    may_pass: bool,
    /// Whether the service is failing, rather than this one request or the configuration. The
    /// breaker counts only such failures. Among statuses, only those of a gateway are proof: a
    /// service may answer 500 or 429 because of one user name, and that must not affect other
    /// users.
    is_outage: bool,
}

impl CallFailure {
    fn consequences(&self) -> Consequences {
        let (label, may_pass, is_outage) = match self {
            Self::Fetch(FetchError::NotSent(_)) => ("not_sent", true, true),
            Self::Fetch(FetchError::Unanswered(_)) | Self::Late => ("unanswered", true, true),
            Self::Unusable(Unusable::Status(502..=504)) => ("status_5xx", true, true),
            Self::Unusable(Unusable::Status(500..=599)) => ("status_5xx", true, false),
            Self::Unusable(Unusable::Status(400..=499)) => ("status_4xx", false, false),
            Self::Unusable(Unusable::Status(300..=399)) => ("status_3xx", false, false),
            Self::Unusable(Unusable::Claims(_)) => ("invalid_claims", false, false),
            Self::Unusable(_) => ("unreadable", false, false),
            Self::Unsigned(_) => ("unsigned", false, false),
        };
        Consequences {
            label,
            may_pass,
            is_outage,
        }
    }
}

impl From<CallFailure> for AccountsError {
    fn from(failure: CallFailure) -> Self {
        let start = message!(start_service_or_set_accounts);
        let (reason, cure) = match &failure {
            CallFailure::Fetch(error) => (error.into(), start),
            CallFailure::Late => (message!(no_response_within_3), start),
            CallFailure::Unusable(unusable) => (unusable.into(), unusable.cure()),
            CallFailure::Unsigned(why) => (
                message!("the request could not be signed: {}", why),
                message!(see_docs_keys_md),
            ),
        };
        Self {
            reason,
            cure,
            retry_after: Duration::from_secs(2),
        }
    }
}

impl From<Closed> for AccountsError {
    fn from(closed: Closed) -> Self {
        Self {
            reason: closed.to_string().into(),
            cure: message!(start_service_or_set_accounts),
            retry_after: PAUSE,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{future::LocalBoxFuture, poll};
    use wxmint_keys::{KeyRing, PrivateJwk, StoredKeys};
    use wxmint_verify::{Algorithm, TokenTyp};

    use super::*;
    use crate::clock::now;

    #[tokio::test]
    async fn the_passwords_of_one_address_leave_room_for_those_of_others_and_for_logins() {
        let app = "wx0123456789abcdef".parse().expect("an AppID");
        // A server that accepts connections, and never answers.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let base: Url = format!("http://{}", silent.local_addr().expect("an address"))
            .parse()
            .expect("a URL");
        let key = PrivateJwk::generate(Algorithm::Es256, now()).expect("a key");
        let ring = KeyRing::new(StoredKeys::of([key]).check().expect("a set"), now());
        let minter = Arc::new(Minter::new(
            "issuer".into(),
            vec!["issuer".into()],
            TokenTyp::AccessToken,
            TOTAL_TIMEOUT,
            Arc::new(ring.expect("it signs")),
        ));
        let tls = Tls::reaching([&base]).expect("roots");
        let accounts = ServiceAccounts::new(&base, &tls, 64, minter, Metrics::default(), now, true)
            .expect("a client");
        let name = "alice".parse().expect("a name");
        let password = "wonderland".parse().expect("a password");
        let mut waiting: Vec<LocalBoxFuture<'_, Result<Option<UserId>>>> = Vec::new();
        for address in [&["192.0.2.1"; 40][..], &["192.0.2.2"]].concat() {
            let mut check = accounts.check_password(&app, &name, &password, address);
            match poll!(check.as_mut()).is_ready() {
                true => assert_eq!((address, waiting.len()), ("192.0.2.1", 28), "of 32 places"),
                false => waiting.push(check),
            }
        }
        assert_eq!(waiting.len(), 29);
        let user = "lin".parse().expect("a user");
        assert!(poll!(accounts.check_login(&app, &user).as_mut()).is_pending());
    }

    #[test]
    fn a_request_that_could_not_be_signed_is_no_matter_of_the_service() {
        let unsigned = wxmint_keys::KeySet::parse(b"")
            .map(drop)
            .expect_err("no key");
        let cure = |failure| AccountsError::from(failure).cure;
        assert_eq!(
            cure(CallFailure::Unsigned(unsigned)),
            message!(see_docs_keys_md)
        );
        assert_eq!(
            cure(CallFailure::Late),
            message!(start_service_or_set_accounts)
        );
    }
}
