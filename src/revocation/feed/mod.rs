//! The revocation feed, which verifiers follow: signed pages of the stream of revocations.
//!
//! `route` answers a request. `pages` has the pages in memory, and `turns` decides which client makes
//! a missing page. A `cursor` names the place in the stream at which a page begins.

mod cursor;
mod pages;
pub(crate) mod route;
mod turns;

pub(crate) use self::pages::FeedPages;
pub(crate) use self::route::Feed;
