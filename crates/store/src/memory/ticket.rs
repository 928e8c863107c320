//! Bind tickets in memory.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::Memory;
use crate::{AttemptId, Result, TICKET_TTL, TakenTicket, Ticket, TicketHolder, Tickets};

pub(super) struct StoredTicket {
    holder: TicketHolder,
    until: DateTime<Utc>,
    taken_by: Option<AttemptId>,
}

#[async_trait(?Send)]
impl Tickets for Memory {
    async fn keep_ticket(&self, ticket: &Ticket, holder: &TicketHolder) -> Result<()> {
        let (now, mut shelves) = self.open();
        shelves.tickets.retain(|_, kept| kept.until > now);
        let kept = StoredTicket { holder: holder.clone(), until: now + TICKET_TTL, taken_by: None };
        shelves.tickets.insert(ticket.clone(), kept);
        Ok(())
    }

    async fn take_ticket(&self, ticket: &Ticket, attempt: &AttemptId) -> Result<Option<TakenTicket>> {
        let (now, mut shelves) = self.open();
        let Some(kept) = shelves.tickets.get_mut(ticket).filter(|kept| kept.until > now) else { return Ok(None) };
        let ours = kept.taken_by.get_or_insert_with(|| attempt.clone()) == attempt;
        Ok(ours.then(|| TakenTicket { holder: kept.holder.clone(), at: now }))
    }
}
