//! Revocations of tokens that have not expired yet: the feed that an issuer publishes, and the
//! revocations that a verifier holds.
//!
//! A [`RevocationEntry`] revokes tokens: those that a user got up to a time, those that a user got
//! in one app up to a time, one token, or all tokens that one key has signed. The feed names users
//! and tokens by a [`RevocationHash`], so that readers of the feed do not learn their ids.
//!
//! A [`RevocationFeed`] checks pages and adds their revocations to the [`RevocationSet`] in which a
//! verifier looks up a token. A `RevocationFeed` fetches nothing; `verify::peer` does, with the
//! feature `fetch`.

mod feed;
mod hash;
mod page;
mod set;
mod table;
#[cfg(test)]
mod tests;

pub use self::feed::{MAX_PAGE, PageRefused, RevocationFeed};
pub use self::hash::RevocationHash;
pub use self::page::{
    MAX_PAGE_REVOCATIONS, PAGE_LIFE, PAGE_MEDIA_TYPE, PAGE_TYP, RevocationEntry, RevocationsPage,
};
pub use self::set::{MAX_HELD, RevocableToken, RevocationSet};
