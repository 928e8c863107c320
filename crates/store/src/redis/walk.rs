//! Walks over all keys in Redis, page by page.

pub use wxmint_redis_link::scan::{PAGE, Page, Place};
