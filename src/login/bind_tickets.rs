//! Bind tickets. A ticket stands for the person of a login that lacked credentials, and replaces
//! the login code, which has been used.

use wxmint_ids::AppId;
use wxmint_store::{Bindings, StoreError, Ticket, TicketHolder, Tickets};

use super::exchanged_login::ExchangedLogin;
use super::{AppCalls, Attempt, IP, Issuance, LoginError, LoginLimits, Result};

/// Redeems bind tickets.
pub(super) struct BindTickets<'a> {
    pub(super) calls: AppCalls<'a>,
    pub(super) limits: LoginLimits<'a>,
    pub(super) issuance: Issuance<'a>,
    pub(super) tickets: &'a Tickets,
    pub(super) bindings: &'a Bindings,
}

impl BindTickets<'_> {
    /// Redeems the bind ticket of an earlier login that lacked credentials. Refuses the ticket of
    /// another app than `app`.
    pub(super) async fn redeem(
        &self,
        ticket: &Ticket,
        app: Option<&AppId>,
        attempt: &mut Attempt<'_>,
    ) -> Result<ExchangedLogin> {
        self.issuance.prepare(attempt.now).await?;
        self.limits
            .count(&self.limits.of_address(attempt.address), IP)
            .await?;
        let taken = self.tickets.redeem(ticket, &attempt.id).await?;
        let taken = taken.filter(|(holder, _)| app.is_none_or(|app| *app == holder.person.app));
        let (
            TicketHolder {
                person,
                unionid,
                key,
            },
            at,
        ) = taken.ok_or(LoginError::TicketInvalid)?;
        (attempt.audit_context.app, attempt.audit_context.person) =
            (Some(person.app.clone()), Some(person.clone()));
        self.calls.check_app(&person.app, false)?;
        let state = self.bindings.state(&person).await?;
        Ok(ExchangedLogin {
            person,
            unionid,
            state,
            key,
            kept_for: None,
            at,
            may_be_revoked: true,
        })
    }
}

/// Makes a ticket with which the client sends credentials. The ticket replaces the login code, which
/// has been used.
pub(super) async fn keep_ticket(
    tickets: &Tickets,
    exchanged: &ExchangedLogin,
) -> Result<Ticket, StoreError> {
    let ticket = Ticket::random();
    let holder = TicketHolder {
        person: exchanged.person.clone(),
        unionid: exchanged.unionid.clone(),
        key: exchanged.key.clone(),
    };
    tickets.keep(&ticket, &holder).await?;
    Ok(ticket)
}
