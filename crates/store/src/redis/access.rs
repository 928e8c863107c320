//! What all connections of the process to Redis share.

use wxmint_redis_link::RedisUrl;

use super::clocks::SteppedBack;

/// Where Redis is, and what the process knows of its clock.
#[derive(Clone)]
pub struct RedisAccess {
    /// Where it is, and how the program gets in.
    pub link: wxmint_redis_link::RedisAccess,
    pub(super) stepped_back: SteppedBack,
}

impl RedisAccess {
    /// A process makes one.
    pub fn new(link: wxmint_redis_link::RedisAccess) -> Self {
        Self { link, stepped_back: SteppedBack::default() }
    }

    /// For tests, in which no replica confirms.
    pub fn fixed(url: RedisUrl) -> Self {
        Self::new(wxmint_redis_link::RedisAccess::fixed(url))
    }
}
