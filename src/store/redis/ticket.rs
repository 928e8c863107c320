//! Bind tickets in Redis.

use std::sync::LazyLock;

use async_trait::async_trait;
use chrono::DateTime;

use super::{
    super::{AttemptId, Person, Result, TICKET_TTL, TakenTicket, Ticket, TicketHolder, Tickets},
    Redis, Script, name, script, unreadable,
};

static KEEP: LazyLock<Script> = script!("keep_ticket");
static TAKE: LazyLock<Script> = script!("take_ticket");

#[async_trait(?Send)]
impl Tickets for Redis {
    async fn keep_ticket(&self, ticket: &Ticket, holder: &TicketHolder) -> Result<()> {
        let mut script = KEEP.on(&[&name::ticket(ticket)]);
        script
            .arg(holder.person.app.as_str())
            .arg(holder.person.openid.as_str())
            .arg(holder.unionid.as_ref().map_or("", |unionid| unionid.as_str()))
            .arg(TICKET_TTL.as_secs());
        self.link.run("keep_ticket", &script).await
    }

    async fn take_ticket(&self, ticket: &Ticket, attempt: &AttemptId) -> Result<Option<TakenTicket>> {
        let mut script = TAKE.on(&[&name::ticket(ticket)]);
        script.text(attempt);
        let held: Vec<String> = self.link.run("take_ticket", &script).await?;
        let [app, openid, unionid, second] = held.as_slice() else { return Ok(None) };
        let unionid = Some(unionid).filter(|text| !text.is_empty()).map(|text| text.parse());
        let (Ok(app), Ok(openid), Ok(unionid)) = (app.parse(), openid.parse(), unionid.transpose()) else {
            return Err(unreadable("a ticket"));
        };
        let at = second.parse().ok().and_then(|second| DateTime::from_timestamp(second, 0));
        let at = at.ok_or_else(|| unreadable("the time"))?;
        Ok(Some(TakenTicket { holder: TicketHolder { person: Person { app, openid }, unionid }, at }))
    }
}
