//! The ends of tokens before they expire: what an issuer publishes in its feed, and what a verifier holds of it.
//!
//! An [`RevocationEntry`] makes tokens void: those of a user up to a time, those of a user in one app, one token, or those that one
//! key has signed. The feed names users and tokens by an [`RevocationHash`], so that it tells nobody who they are.
//!
//! A [`Feed`] checks pages and adds what they say to the [`Ends`] that a verifier asks. It fetches nothing; the feature
//! `fetch` has `verify::peer`, which does.

mod feed;
mod hash;
mod held;
mod page;
mod table;
#[cfg(test)]
mod tests;

pub use self::feed::{Feed, MAX_PAGE, PageRefused};
pub use self::hash::RevocationHash;
pub use self::held::{Endable, Ends, MAX_HELD};
pub use self::page::{MAX_PAGE_REVOCATIONS, PAGE_LIFE, PAGE_MEDIA_TYPE, PAGE_TYP, RevocationEntry, RevocationsPage};
