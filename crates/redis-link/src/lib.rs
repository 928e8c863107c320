//! A client of Redis for programs that must not lose their writes.
//!
//! - one [`RedisUrl`] names one server, a primary that Sentinels watch, or a Cluster; with TLS,
//!   whose files may be replaced while the program runs;
//! - a [`Call`] is sent to the primary that has its keys, and is sent again after a failover or
//!   while a slot moves, within a deadline;
//! - [`RedisClient::run_confirmed`] returns once every replica that could take over has the write;
//! - an [`Observer`] is called after each call.
//!
//! A [`RedisClient`] (`link`) sends a call to the primary of its keys, over a connection (`server`)
//! that `connector` makes. If this fails, the client looks for the primary again (`primaries`).
//! `cluster` and `sentinel` find out which servers are primaries, and which replicas could take
//! over from them.

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
