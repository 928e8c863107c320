//! The phone's side of a device request: the person views the request, and approves or denies it.

use actix_web::http::{StatusCode, header::AUTHORIZATION};
use actix_web::web::{Path, Payload};
use actix_web::{HttpMessage, HttpRequest};
use serde::Serialize;
use utoipa::ToSchema;
use wxmint_http::{
    Answer, Done, Problem, ProblemCode, SMALL_BODY, origin, private, read_body, run_to_completion,
};
use wxmint_ids::{AppId, ClientId, Person, UserId};
use wxmint_store::{RateLimitKey, short_digest};
use wxmint_telemetry::audit::{Activity, Event};

use super::browser::BrowserName;
use super::requests::{TRIES, gone, of_request};
use super::store::{Decided, DeviceRequest, Devices, FoundDevice, approver};
use super::{
    APPROVED, AtDoor, DENIED, LOOKED, NUMBER_MISMATCH, Scan, UNKNOWN_DEVICE_CODE, codes::UserCode,
};
use crate::issuer::login_route::{LoginAttempt, app_hint};
use crate::issuer::{LoginBody, state::IssuerWorker};
use crate::login::{
    Admission, Attempt, CountError, DEVICE, LoginParts, LoginRequest, OPENID, TokenActionError,
};
use crate::oauth::clients::Clients;
use crate::oauth::grant::Grant;
use crate::{clock::now, refusals::Refusal};

/// The limit of requests from phones whose person is not known, counted by user.
const HOLDERS: &str = "device-holders";

/// The request of a page.
#[derive(Serialize, ToSchema)]
pub(super) struct DeviceAnswer {
    #[schema(value_type = String, example = "shop-web")]
    client_id: ClientId,
    #[schema(example = "晨光商城 网页版")]
    client_name: String,
    /// The address of the browser that asks; for IPv6 its network.
    #[schema(example = "203.0.113.7")]
    address: String,
    /// The browser and its system, by wxmint's own list of names, or `unknown device`: never the browser's own words.
    #[schema(value_type = String, example = "Chrome on Windows")]
    user_agent: BrowserName,
    /// Seconds since 1970.
    #[schema(example = 1_700_000_000)]
    requested_at: i64,
    /// Seconds.
    #[schema(example = 150)]
    expires_in: u64,
    /// The page shows one of these numbers; the person chooses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>, example = json!(["12", "47", "83"]))]
    choices: Option<[String; 3]>,
}

/// The body of `POST /device/{user_code}/approve`. What binds a person in a login may be sent too, and `bind_ticket` in
/// place of `code`.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "describes the body, which becomes a `LoginRequest`"
)]
pub(super) struct ApprovalBody {
    /// A fresh code of `wx.login`.
    code: String,
    /// The number that the person has chosen. Needed if there are `choices`.
    #[schema(rename = "match")]
    number: Option<String>,
}

/// Show who asks for a login
///
/// For a person whose phone has scanned the code of a page: shows what asks, from where and when. The page is told that
/// a phone has looked.
#[utoipa::path(get, path = "/device/{user_code}", tag = "scan", security(("bearer" = [])),
    params(("user_code" = String, Path, description = "What was scanned; case, blanks and hyphens make no difference")),
    responses((status = 200, description = "The request", body = DeviceAnswer)))]
pub(super) async fn look(
    request: HttpRequest,
    code: Path<String>,
    (worker, scan): AtDoor,
) -> Answer {
    let (holder, event) = begin(LOOKED, &request, &worker).await?;
    let mut client = None;
    let clients = worker.issuer.clients();
    let shown = async {
        let found = PhoneApproval::of(&worker.login)
            .look(&holder, &code, &mut client)
            .await?;
        let name = of_request(&clients, &found.request)
            .ok_or_else(gone)?
            .name
            .clone();
        Ok((name, found))
    };
    let shown = shown.await;
    let (client_name, found) = told(&worker, &scan, Event { client, ..event }, "viewed", shown)?;
    let requested_at = found.requested_at;
    let expires_in = found.expires_in.as_secs();
    let DeviceRequest {
        client: client_id,
        address,
        browser: user_agent,
        numbers,
        ..
    } = found.request;
    let choices = numbers.map(|(choices, _)| choices);
    Ok(private(DeviceAnswer {
        client_id,
        client_name,
        address,
        user_agent,
        requested_at,
        expires_in,
        choices,
    }))
}

/// Deny a page its login
#[utoipa::path(post, path = "/device/{user_code}/deny", tag = "scan", security(("bearer" = [])),
    params(("user_code" = String, Path, description = "What was scanned")),
    responses((status = 204, description = "Denied")))]
pub(super) async fn deny(request: HttpRequest, code: Path<String>, (worker, scan): AtDoor) -> Done {
    let (holder, event) = begin(DENIED, &request, &worker).await?;
    run_to_completion(async move {
        let mut client = None;
        let denied = PhoneApproval::of(&worker.login)
            .deny(&holder, &code, &mut client)
            .await;
        told(&worker, &scan, Event { client, ..event }, "denied", denied)
    })
    .await
}

/// The owner of the token that a phone shows.
struct Holder {
    app: AppId,
    user: UserId,
    /// `None` if no user index tells which of the user's persons it is (`WXMINT_USER_INDEX=false`).
    person: Option<Person>,
}

impl Holder {
    /// The holder of the request's token, which must have been issued to a mini program.
    async fn of(request: &HttpRequest, worker: &IssuerWorker) -> Result<Self, Problem> {
        let token = worker.issuer.verify(request, now())?;
        match worker.login.token_actions().token_holder(&token).await {
            Ok(holder) => Ok(Self {
                app: token.app.clone(),
                user: holder.user,
                person: Some(holder.person),
            }),
            // The token is valid, but only its app and user are known.
            Err(TokenActionError::NotListed) => Ok(Self {
                app: token.app.clone(),
                user: token.user.clone(),
                person: None,
            }),
            Err(error) => Err(Refusal::by_token(error).problem),
        }
    }

    /// The digest that identifies the holder in a device request, so that the store keeps no openid
    /// there.
    fn approver(&self) -> String {
        match &self.person {
            Some(person) => approver(person),
            None => self.of_user(),
        }
    }

    fn of_user(&self) -> String {
        short_digest(&format!("{} {}", self.app, self.user.as_str())).to_string()
    }

    /// Whether the holder is the person who logs in. Without a person, app and user are compared.
    fn is(&self, admission: &Admission) -> bool {
        match &self.person {
            Some(person) => person == admission.person(),
            None => self.app == admission.person().app && self.user == *admission.user(),
        }
    }
}

/// Returns the holder of the request's token, and an audit event of the request.
async fn begin(
    activity: Activity,
    request: &HttpRequest,
    worker: &IssuerWorker,
) -> Result<(Holder, Event), Problem> {
    let holder = Holder::of(request, worker).await?;
    let vault = worker.issuer.vault.load_full();
    let person = holder
        .person
        .as_ref()
        .map(|person| vault.audit_name(person));
    let user = Some(holder.user.clone());
    let app = Some(holder.app.clone());
    Ok((
        holder,
        Event {
            user,
            app,
            person,
            ..Event::new(activity, origin(request))
        },
    ))
}

/// Counts and audits a look or a denial. Each has already been counted against the person's limit.
fn told<T>(
    worker: &IssuerWorker,
    scan: &Scan,
    event: Event,
    outcome: &'static str,
    result: Result<T, Refusal>,
) -> Result<T, Problem> {
    let user = event.user.as_ref().map(UserId::as_str);
    let who = event.person.as_deref().or(user).unwrap_or_default();
    let done = result.map_err(|refusal| refusal.tell(event.clone(), who))?;
    if let Some(client) = &event.client {
        scan.count(&worker.issuer, client, outcome);
    }
    event.tell();
    Ok(done)
}

/// Let a page in
///
/// A login, whose token goes to the page: WeChat is asked, and bindings, blocks and limits hold as in `POST /login`.
/// With a token it must be of the same person. May be repeated by the person with another code, because answers are
/// lost.
#[utoipa::path(post, path = "/device/{user_code}/approve", tag = "scan", security((), ("bearer" = [])),
    params(("user_code" = String, Path, description = "What was scanned")),
    request_body(content = ApprovalBody, example = json!({"code": "0e3Xk7000Y8bzS1Qbq100k8Abc2Xk70h", "match": "47"})),
    responses((status = 204, description = "The page may fetch its token")))]
pub(super) async fn approve(
    request: HttpRequest,
    code: Path<String>,
    body: Payload,
    (worker, scan): AtDoor,
) -> Done {
    // A page of another site can send a simple content type without a CORS preflight.
    if !request
        .content_type()
        .eq_ignore_ascii_case("application/json")
    {
        let detail = "Send the header `Content-Type: application/json`.";
        return Err(Problem::invalid(detail).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let shown = match request.headers().contains_key(AUTHORIZATION) {
        true => Some(Holder::of(&request, &worker).await?),
        false => None,
    };
    let body = read_body(body, SMALL_BODY).await?;
    let (login, number) = LoginBody::with_field(&body, "match")?;
    let login = LoginRequest {
        app_hint: app_hint(&request),
        ..login
    };
    let code: UserCode = code.parse().map_err(|()| gone().problem)?;
    let event = Event::new(APPROVED, origin(&request));
    let approving = async move {
        let clients = worker.issuer.clients();
        let mut attempt = LoginAttempt::begin(&worker, [login.app.clone(), login.app_hint.clone()]);
        let approve = async |attempt: &mut Attempt<'_>| {
            PhoneApproval::of(&worker.login)
                .approve(&code, (login, number), shown.as_ref(), &clients, attempt)
                .await
        };
        let outcome = attempt.make(event.address(), approve).await;
        let became = match &outcome {
            Ok(()) => Some("approved"),
            Err(refusal) if refusal.problem.code == NUMBER_MISMATCH => Some("denied"),
            Err(_) => None,
        };
        if let Some(became) = became
            && let Some(client) = &attempt.audit_context.client
        {
            scan.count(&worker.issuer, client, became);
        }
        attempt.end(event, outcome.as_ref().map(|()| false));
        outcome.map_err(|refusal| refusal.problem)
    };
    run_to_completion(approving).await
}

const WRONG_NUMBER: &str = "The number is not the one that the page shows, and the request is spoiled. Scan the page's new code.";

fn not_yours() -> Refusal {
    let detail = "The request is for the users of another mini program, or the `code` is not of the person whose token was sent.";
    Problem::new(ProblemCode::Forbidden, detail).into()
}

/// Device requests, as phones view and decide them.
#[derive(Clone, Copy)]
struct PhoneApproval<'a> {
    login: &'a LoginParts,
}

impl<'a> PhoneApproval<'a> {
    fn of(login: &'a LoginParts) -> Self {
        Self { login }
    }

    /// Shows a device request to the person whose phone has scanned its code. Sets `client` to the
    /// request's client, even if the person may not see the request.
    async fn look(
        &self,
        holder: &Holder,
        code: &str,
        client: &mut Option<ClientId>,
    ) -> Result<FoundDevice, Refusal> {
        let code: &UserCode = &code.parse().map_err(|()| gone())?;
        self.count_holder(holder).await?;
        let found = Devices(&self.login.store)
            .find_device(code, Some(&holder.app))
            .await?;
        let found = found
            .filter(|found| found.approver.is_none())
            .ok_or_else(gone)?;
        *client = Some(found.request.client.clone());
        if found.request.app == holder.app {
            Ok(found)
        } else {
            Err(not_yours())
        }
    }

    /// Denies a device request. The person may repeat a denial, because answers can be lost.
    async fn deny(
        &self,
        holder: &Holder,
        code: &str,
        client: &mut Option<ClientId>,
    ) -> Result<(), Refusal> {
        match self.look(holder, code, client).await {
            Err(refusal) if refusal.problem.code != UNKNOWN_DEVICE_CODE => return Err(refusal),
            _ => {}
        }
        let code = code.parse().map_err(|()| gone())?;
        if Devices(&self.login.store)
            .deny_device(&code, &holder.approver())
            .await?
        {
            Ok(())
        } else {
            Err(gone())
        }
    }

    /// Logs in the person who has chosen this number, and grants the token to the page. `holder` is
    /// the owner of the token that the phone has sent, if it has sent one. The person may repeat an
    /// approval, because answers can be lost.
    async fn approve(
        &self,
        code: &UserCode,
        (login, number): (LoginRequest, Option<String>),
        holder: Option<&Holder>,
        clients: &Clients,
        attempt: &mut Attempt<'_>,
    ) -> Result<(), Refusal> {
        self.count_approval(holder, attempt).await?;
        let found = Devices(&self.login.store)
            .find_device(code, None)
            .await?
            .ok_or_else(gone)?;
        attempt.audit_context.client = Some(found.request.client.clone());
        let client = of_request(clients, &found.request).ok_or_else(gone)?;
        let DeviceRequest { app, numbers, .. } = found.request;
        let mut named = login.app.iter().chain(holder.map(|holder| &holder.app));
        if named.any(|named| *named != app) {
            return Err(not_yours());
        }
        // If the holder's person is not known, the login below finds out whether it is the same
        // person.
        if let Some(by) = &found.approver
            && let Some(person) = holder.and_then(|holder| holder.person.as_ref())
        {
            return if *by == approver(person) {
                Ok(())
            } else {
                Err(gone())
            };
        }
        if found.approver.is_none() && numbers.is_some() && number.is_none() {
            let detail = "The field `match` is missing. Send the number that the person has chosen of `choices`.";
            return Err(Problem::invalid(detail).into());
        }
        let login = LoginRequest {
            app: Some(app),
            ..login
        };
        let admission = self.login.log_in().admit(login, attempt).await?;
        if holder.is_some_and(|holder| !holder.is(&admission)) {
            return Err(not_yours());
        }
        let person = approver(admission.person());
        match Devices(&self.login.store)
            .claim_device(code, &person, number.as_deref())
            .await?
        {
            Decided::Claimed => {}
            Decided::Approved => return Ok(()),
            Decided::WrongNumber => return Err(Problem::new(NUMBER_MISMATCH, WRONG_NUMBER).into()),
            Decided::Gone => return Err(gone()),
        }
        let grant = Grant::issue(self.login, client, &admission, attempt.now).await?;
        let approved = Devices(&self.login.store)
            .approve_device(code, &person, &grant)
            .await?;
        // If the request was not approved just now, either the page has just fetched the token of
        // an earlier approval by the same person, or somebody has denied the request.
        let is_done = approved
            || Devices(&self.login.store)
                .claim_device(code, &person, number.as_deref())
                .await?
                == Decided::Approved;
        if is_done { Ok(()) } else { Err(gone()) }
    }

    /// Counts an approval before anything else, because the answer tells whether there is such a
    /// request.
    async fn count_approval(
        &self,
        holder: Option<&Holder>,
        attempt: &mut Attempt<'_>,
    ) -> Result<(), CountError> {
        let Some(holder) = holder else {
            return self
                .login
                .limits()
                .count_by_address(TRIES, attempt.address)
                .await;
        };
        let audit_context = &mut *attempt.audit_context;
        audit_context.app = Some(holder.app.clone());
        audit_context.person.clone_from(&holder.person);
        audit_context.user = Some(holder.user.clone());
        self.count_holder(holder).await
    }

    /// Counts a request of the phone by its person, or else by its user.
    async fn count_holder(&self, holder: &Holder) -> Result<(), CountError> {
        let limits = self.login.limits();
        match &holder.person {
            Some(person) => limits.count_call(person, DEVICE).await,
            None => {
                limits
                    .count(
                        &RateLimitKey::new(HOLDERS, holder.of_user(), limits.policy.limit_openid),
                        OPENID,
                    )
                    .await
            }
        }
    }
}
