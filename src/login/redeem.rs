//! A ticket in place of a code: a login that the person was refused before, because a password was missing.

use wxmint_ids::AppId;
use wxmint_store::{AttemptId, Ticket, TicketHolder};

use super::{Arrival, IP, LoginError, LoginTrail, LoginWorker};

impl LoginWorker {
    /// Redeems a ticket instead of a code. A ticket of another app than `app` is rejected.
    pub(super) async fn redeem(
        &self,
        ticket: &Ticket,
        app: Option<&AppId>,
        attempt: &AttemptId,
        address: &str,
        trail: &mut LoginTrail,
    ) -> Result<Arrival, LoginError> {
        self.note_life().await?;
        self.store.count(&self.meter_of(address)).await?.map_err(LoginError::too_many(IP))?;
        let taken = self.store.take_ticket(ticket, attempt).await?;
        let taken = taken.filter(|(holder, _)| app.is_none_or(|app| *app == holder.person.app));
        let (TicketHolder { person, unionid, key }, at) = taken.ok_or(LoginError::TicketInvalid)?;
        (trail.app, trail.person) = (Some(person.app.clone()), Some(person.clone()));
        self.apps.all().choose(Some(&person.app), None)?;
        let state = self.store.binding_state(&person).await?;
        trail.find(&state);
        Ok(Arrival { person, unionid, state, key, kept_for: None, at, may_be_ended: true })
    }
}
