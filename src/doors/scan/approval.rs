//! The phone's side: the person looks at what a page asks for, and says yes or no.

use chrono::{DateTime, Utc};
use wxmint_http::{Problem, ProblemCode};
use wxmint_ids::ClientId;

use super::MATCH_WRONG;
use super::clients::{Client, Clients};
use super::codes::UserCode;
use super::requests::{TRIES, gone, of_request};
use super::store::{Approver, Decided, DeviceRequest, Devices, FoundDevice, Grant};
use crate::login::{AT_DOORS, Admitted, Asking, LoginError, LoginRequest, LoginTrail, LoginWorker, new_attempt};
use crate::refusals::Refusal;

const WRONG_NUMBER: &str =
    "The number is not the one that the page shows, and the request is spoiled. Scan the page's new code.";

fn not_yours() -> Refusal {
    let detail = "The request is for the users of another mini program, or the `code` is not of the person whose token was sent.";
    Problem::new(ProblemCode::Forbidden, detail).into()
}

pub(super) struct Approval<'a> {
    pub(super) code: &'a UserCode,
    pub(super) login: LoginRequest,
    /// The number that the person has chosen.
    pub(super) number: Option<String>,
    /// The owner of the token that it shows, if it shows one.
    pub(super) asking: Option<&'a Asking>,
    /// The phone's address, as limits count it.
    pub(super) address: &'a str,
}

impl LoginWorker {
    /// Shows a request to the person whose phone has scanned its code.
    /// `client` becomes the page's, also if the person may not see the request.
    pub(super) async fn look_at(
        &self,
        asking: &Asking,
        code: &str,
        client: &mut Option<ClientId>,
    ) -> Result<FoundDevice, Refusal> {
        let code: &UserCode = &code.parse().map_err(|()| gone())?;
        self.count_call(&asking.person, AT_DOORS).await?;
        let found = Devices(&self.store).find_device(code, Some(&asking.person.app)).await?;
        let found = found.filter(|found| found.approver.is_none()).ok_or_else(gone)?;
        *client = Some(found.request.client.clone());
        if found.request.app == asking.person.app { Ok(found) } else { Err(not_yours()) }
    }

    pub(super) async fn deny(&self, asking: &Asking, code: &str, client: &mut Option<ClientId>) -> Result<(), Refusal> {
        self.look_at(asking, code, client).await?;
        let code: &UserCode = &code.parse().map_err(|()| gone())?;
        if Devices(&self.store).deny_device(code).await? { Ok(()) } else { Err(gone()) }
    }

    /// Logs the person in, and grants the token to the page. A person who has approved a request may repeat it, because
    /// answers are lost.
    pub(super) async fn approve(
        &self,
        approval: Approval<'_>,
        clients: &Clients,
        trail: &mut LoginTrail,
        now: DateTime<Utc>,
    ) -> Result<(), Refusal> {
        let Approval { code, login, number, asking, address } = approval;
        self.count_approval(asking, address, trail).await?;
        let found = Devices(&self.store).find_device(code, None).await?.ok_or_else(gone)?;
        trail.client = Some(found.request.client.clone());
        let client = of_request(clients, &found.request).ok_or_else(gone)?;
        let DeviceRequest { app, numbers, .. } = found.request;
        if asking.is_some_and(|asking| asking.person.app != app)
            || login.app.as_ref().is_some_and(|wanted| *wanted != app)
        {
            return Err(not_yours());
        }
        if let (Some(approver), Some(asking)) = (&found.approver, asking) {
            return if *approver == Approver::of(&asking.person) { Ok(()) } else { Err(gone()) };
        }
        if found.approver.is_none() && numbers.is_some() && number.is_none() {
            let detail = "The field `match` is missing. Send the number that the person has chosen of `choices`.";
            return Err(Problem::invalid(detail).into());
        }
        let attempt = new_attempt()?;
        let login = LoginRequest { app: Some(app), ..login };
        let admitted = self.admit(login, &attempt, address, trail, now).await?;
        if asking.is_some_and(|asking| asking.person != *admitted.person()) {
            return Err(not_yours());
        }
        let person = Approver::of(admitted.person());
        match Devices(&self.store).claim_device(code, &person, number.as_deref()).await? {
            Decided::Claimed => {}
            Decided::Approved => return Ok(()),
            Decided::WrongNumber => return Err(Problem::new(MATCH_WRONG, WRONG_NUMBER).into()),
            Decided::Gone => return Err(gone()),
        }
        let grant = self.grant(client, &admitted, now).await?;
        let approved = Devices(&self.store).approve_device(code, &person, &grant).await?;
        // Otherwise the page has just fetched the token of the same person's approval before, or somebody has denied.
        let is_done =
            approved || Devices(&self.store).claim_device(code, &person, number.as_deref()).await? == Decided::Approved;
        if is_done { Ok(()) } else { Err(gone()) }
    }

    /// Counts first of all, because whoever asks learns whether there is such a request.
    async fn count_approval(
        &self,
        asking: Option<&Asking>,
        address: &str,
        trail: &mut LoginTrail,
    ) -> Result<(), LoginError> {
        let Some((person, user)) = asking.map(|asking| (&asking.person, &asking.user)) else {
            return self.count_by(TRIES, address).await;
        };
        (trail.app, trail.person, trail.user) = (Some(person.app.clone()), Some(person.clone()), Some(user.clone()));
        self.count_call(person, AT_DOORS).await
    }

    /// The token that the client may fetch.
    pub(in crate::doors) async fn grant(
        &self,
        client: &Client,
        admitted: &Admitted,
        now: DateTime<Utc>,
    ) -> Result<Grant, LoginError> {
        let token = self.issue(&client.recipient(), admitted, now).await?;
        Ok(Grant { token, claims: admitted.extra.clone(), mark: admitted.mark() })
    }
}
