//! Bind tickets in Redis.

use chrono::DateTime;

use super::{Redis, name, script, unreadable};
use crate::{AttemptId, Person, Result, Sealed, TICKET_TTL, TakenTicket, Ticket, TicketHolder};

impl Redis {
    /// Stores a ticket for [`TICKET_TTL`].
    pub async fn keep_ticket(&self, ticket: &Ticket, holder: &TicketHolder) -> Result<()> {
        let TicketHolder { person, unionid, key } = holder;
        let unionid = unionid.as_ref().map_or("", |unionid| unionid.as_str());
        let script = script::TICKET.on(&[&name::ticket(ticket)]).arg("keep").arg(TICKET_TTL.as_secs());
        let script = script.arg(person.app.as_str()).arg(person.openid.as_str()).arg(unionid);
        let script = script.text(&key.0).arg(key.1.as_bytes());
        Ok(self.link.run("keep_ticket", script).await?)
    }

    /// Redeems a ticket. `None` if it is unknown or another request has redeemed it.
    pub async fn take_ticket(&self, ticket: &Ticket, attempt: &AttemptId) -> Result<Option<TakenTicket>> {
        let script = script::TICKET.on(&[&name::ticket(ticket)]).arg("take").text(attempt);
        let held: Vec<Vec<u8>> = self.link.run("take_ticket", script).await?;
        if held.is_empty() {
            return Ok(None);
        }
        taken(&held).map(Some).ok_or_else(|| unreadable("a ticket"))
    }
}

fn taken(held: &[Vec<u8>]) -> Option<TakenTicket> {
    let [texts @ .., key] = held else { return None };
    let texts: Vec<_> = texts.iter().map(|bytes| str::from_utf8(bytes)).collect::<Result<_, _>>().ok()?;
    let [second, app, openid, unionid, order] = texts[..] else { return None };
    let person = Person { app: app.parse().ok()?, openid: openid.parse().ok()? };
    let unionid = if unionid.is_empty() { None } else { Some(unionid.parse().ok()?) };
    let key = (order.parse().ok()?, Sealed::from_stored(key.clone()));
    let at = DateTime::from_timestamp(second.parse().ok()?, 0)?;
    Some(TakenTicket { holder: TicketHolder { person, unionid, key }, at })
}
