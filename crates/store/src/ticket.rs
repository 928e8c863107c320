//! Bind tickets: a person whose code WeChat has accepted may try one password without another code.

use std::{str::FromStr, time::Duration};

use aws_lc_rs::{error::Unspecified, rand};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use wxmint_ids::{UnionId, unprintable};

use super::{ExchangedKey, Person};

/// How long a ticket can be redeemed: as long as a login code.
pub const TICKET_TTL: Duration = Duration::from_secs(5 * 60);

/// 128 random bits, base64url. Whoever has a ticket may try one password for its person, so it does not print.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Ticket(String);

/// The text does not have the form of a ticket. The error does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the bind_ticket of a `binding_required` answer: 22 letters, digits, `_` and `-`")]
pub struct InvalidTicket;

/// The person whose code WeChat accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketHolder {
    pub person: Person,
    pub unionid: Option<UnionId>,
    /// The session key that the code's exchange brought.
    pub key: ExchangedKey,
}

/// A ticket that was redeemed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenTicket {
    pub holder: TicketHolder,
    /// When it was redeemed, by the store's clock: the token's `iat`.
    pub at: DateTime<Utc>,
}

impl Ticket {
    pub fn random() -> Result<Self, Unspecified> {
        let mut bits = [0; 16];
        rand::fill(&mut bits)?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bits)))
    }

    /// As the client gets it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Ticket {
    type Err = InvalidTicket;

    fn from_str(text: &str) -> Result<Self, InvalidTicket> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        (text.len() == 22 && text.bytes().all(known)).then(|| Self(text.to_owned())).ok_or(InvalidTicket)
    }
}

unprintable!(Ticket);
