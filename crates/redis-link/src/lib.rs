//! A link to Redis for programs that must not lose what they write.
//!
//! - one server, a primary that Sentinels watch, or a Cluster, by one [`RedisUrl`]; with TLS, whose files may be
//!   replaced;
//! - a [`Call`] goes to the primary that has its keys, and follows it through a failover or a moving slot, within a
//!   deadline;
//! - [`RedisClient::run_confirmed`] answers once every replica that could take over has the write;
//! - an [`Observer`] is told of each call.
//!
//! From [`RedisClient`] a call goes to the primary of its keys, over the connection to that server (`server`), which
//! `connector` makes. Where that fails, the link finds another way. `cluster` and `sentinel` say which servers are
//! primaries, and who could take over from them.

mod access;
mod call;
mod cluster;
mod confirm;
mod connector;
mod failure;
mod info;
mod link;
mod outage;
mod primaries;
pub mod scan;
mod sentinel;
mod server;
mod tls;
mod url;

pub use self::access::{Confirm, Program, RedisAccess, StandIn};
pub use self::call::{CLUSTER_SLOTS, Call, Script, members, script_name, slot_of};
pub use self::failure::{Cause, Reason, describe};
pub use self::info::{State, member};
pub use self::link::{Observer, RedisClient};
pub use self::primaries::Primary;
pub use self::server::{DEADLINE, Server};
pub use self::tls::TlsFiles;
pub use self::url::{RedisUrl, WrongUrl};
