//! The ends of tokens before they expire: what an issuer publishes in its feed, and what a verifier holds of it.
//!
//! An [`End`] makes tokens void: those of a user up to a time, those of a user in one app, one token, or those that one
//! key has signed. The feed names users and tokens by an [`EndHash`], so that it tells nobody who they are.

mod hash;
mod page;

pub use self::{
    hash::EndHash,
    page::{End, EndsPage, MAX_PAGE_ENDS, PAGE_LIFE, PAGE_MEDIA_TYPE, PAGE_TYP},
};
