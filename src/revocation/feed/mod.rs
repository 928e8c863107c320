//! The revocation feed, which verifiers follow: signed pages of the stream of revocations.
//!
//! `route` answers a request. `pages` has the pages in memory, and `turns` decides which client
//! makes a missing page, by `page_maker`. A `cursor` names the place in the stream at which a page
//! begins.

mod cursor;
mod page_maker;
mod pages;
pub(crate) mod route;
mod turns;

use std::sync::Arc;

use arc_swap::ArcSwap;
use wxmint_http::TrustedProxies;
use wxmint_keys::{KeyRing, token::Minter, vault::Vault};
use wxmint_store::RevocationStream;

pub(crate) use self::page_maker::ALL_REVOKED;
pub(crate) use self::pages::FeedPages;

/// The revocation feed, as one worker thread serves it.
pub(crate) struct Feed {
    /// The `iss` of its pages.
    pub(crate) issuer: String,
    /// The keys that sign its pages.
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) minter: Arc<Minter>,
    /// Authenticates cursors.
    pub(crate) vault: Arc<ArcSwap<Vault>>,
    /// The pages in memory, which all workers share.
    pub(crate) pages: Arc<FeedPages>,
    pub(crate) proxies: TrustedProxies,
    pub(crate) stream: RevocationStream,
}
