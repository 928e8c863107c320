//! Bind tickets. With a ticket, a person whose code WeChat has accepted may try one password
//! without a new code.

use std::{rc::Rc, str::FromStr, time::Duration};

use chrono::{DateTime, Utc};
use wxmint_ids::{Person, UnionId, is_base64url, packed, unprintable};
use wxmint_keys::{token::new_token_id, vault::Sealed};
use wxmint_redis_link::RedisClient;

use super::{name, script};
use crate::{AttemptId, AttemptMark, ExchangeTimestamp, ExchangedKey, Result, StoreError};

/// How long a ticket can be redeemed: as long as a login code.
pub const TICKET_TTL: Duration = Duration::from_mins(5);

/// 128 random bits in base64url. The holder of a ticket may try one password for its person, so a
/// ticket does not print.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Ticket(String);
unprintable!(Ticket);

/// The text does not have the form of a ticket. The error does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the bind_ticket of a `binding_required` answer: 22 letters, digits, `_` and `-`")]
pub struct InvalidTicket;

/// The person whose code WeChat accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketHolder {
    pub person: Person,
    /// The unionid, if WeChat named one.
    pub unionid: Option<UnionId>,
    /// The session key that the code's exchange brought.
    pub key: ExchangedKey,
}

impl Ticket {
    /// A new random ticket.
    pub fn random() -> Self {
        Self(new_token_id().as_str().to_owned())
    }

    /// The ticket as the client gets it. Never log it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Ticket {
    type Err = InvalidTicket;

    fn from_str(text: &str) -> Result<Self, InvalidTicket> {
        (text.len() == 22 && text.bytes().all(is_base64url))
            .then(|| Self(text.to_owned()))
            .ok_or(InvalidTicket)
    }
}

/// A redeemed ticket: the second in which it is redeemed, the person, the unionid or nothing, the
/// microseconds and the mark of the exchange, and the sealed session key.
type Held = (i64, Vec<u8>, Vec<u8>, u64, u32, Vec<u8>);

/// The bind tickets in the store.
#[derive(Clone)]
pub struct Tickets {
    link: Rc<RedisClient>,
}

impl Tickets {
    pub(super) fn new(link: Rc<RedisClient>) -> Self {
        Self { link }
    }

    /// Stores a ticket for [`TICKET_TTL`].
    pub async fn keep(&self, ticket: &Ticket, holder: &TicketHolder) -> Result<()> {
        let TicketHolder {
            person,
            unionid,
            key: (ExchangeTimestamp { micros, mark }, sealed),
        } = holder;
        let unionid = unionid.as_ref().map(packed::unionid).unwrap_or_default();
        let script = script::TICKET
            .on(&[&name::ticket(ticket)])
            .arg("keep")
            .arg(TICKET_TTL.as_secs());
        let script = script
            .arg(packed::person(person))
            .arg(unionid)
            .arg(*micros)
            .arg(mark.0)
            .arg(sealed.as_bytes());
        Ok(self.link.run("keep_ticket", script).await?)
    }

    /// Redeems a ticket. Also returns when, by the store's clock: this is the token's `iat`. `None`
    /// if the ticket is unknown, or another request has redeemed it.
    pub async fn redeem(
        &self,
        ticket: &Ticket,
        id: &AttemptId,
    ) -> Result<Option<(TicketHolder, DateTime<Utc>)>> {
        let script = script::TICKET
            .on(&[&name::ticket(ticket)])
            .arg("take")
            .arg(id.to_string());
        let held: Option<Held> = self.link.run("take_ticket", script).await?;
        let Some((second, person, unionid, micros, mark, sealed)) = held else {
            return Ok(None);
        };
        let unionid = (!unionid.is_empty())
            .then(|| packed::read_unionid(&unionid))
            .transpose()?;
        let key = (
            ExchangeTimestamp {
                micros,
                mark: AttemptMark(mark),
            },
            Sealed::from_stored(sealed),
        );
        let at = DateTime::from_timestamp(second, 0).ok_or(StoreError::Damaged("a ticket"))?;
        Ok(Some((
            TicketHolder {
                person: packed::read_person(&person)?,
                unionid,
                key,
            },
            at,
        )))
    }
}
