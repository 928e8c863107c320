//! The stand-in WeChat: `wxmint simulator`.
//!
//! It answers as WeChat's server API does, down to the content types and the escaped slashes. By its control API under
//! `/_simulator`, a test mints login codes, switches on faults and reads what was sent. wxmint's own tests, its demo
//! and its benchmark use it, and so can any team that tests a back end.
//!
//! - `call`: a request to WeChat; `endpoints`: the answers of WeChat's endpoints;
//! - `world`: all state; `people`: people and their codes; `apps`: the mini programs; `access_tokens`: those of
//!   `stable_token`;
//! - `user_data`: the data that a phone gives its mini program, encrypted with the session key;
//! - `faults`: which request meets which fault; `wechat_routes`: WeChat's endpoints over HTTP, with faults;
//! - `journal`: requests and answers, with secrets masked; `control`: the control API; `page`: the demo's page;
//! - `accounts`: the demo's stand-in for a business's account service; `peer`: the demo's service that verifies tokens;
//!   `keys`: the demo's signing keys, shown and rotated.

mod access_tokens;
mod accounts;
mod apps;
mod call;
mod control;
mod endpoints;
mod faults;
mod journal;
mod keys;
mod page;
mod peer;
mod people;
mod state;
#[cfg(test)]
mod tests;
mod user_data;
mod wechat_routes;
mod world;

use std::{io, net::TcpListener, sync::Arc};

use actix_web::web;

pub use accounts::{Account, AccountBook, Block, Credentials, Known, KnownOf, Link, account_page_routes, run_accounts};
pub use apps::{App, InvalidApp};
pub use control::control_routes;
pub use keys::{KeyTimes, ReadKeys, Rotate, key_routes};
pub use page::page_routes;
pub use peer::peer_routes;
pub use world::{Options, World};

use crate::http::{Limits, serve};

/// More than a load test opens, and less than would exhaust the machine's memory.
const CONNECTIONS: usize = 20_000;

/// Serves WeChat's endpoints and the control API on `listener` until `shutdown` resolves. Requests that a fault stalls
/// then get one more second.
///
/// # Errors
/// If the listener cannot be used or the worker threads cannot be started.
pub async fn run(
    listener: TcpListener,
    world: Arc<World>,
    workers: usize,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let app = move || {
        actix_web::App::new()
            .configure(control_routes(world.clone()))
            .configure(wechat_routes::routes(world.clone()))
            .default_service(web::to(control::no_such_path))
    };
    serve(listener, limits(workers), app, shutdown)?.await
}

fn limits(workers: usize) -> Limits {
    Limits {
        workers: workers.max(1),
        connections: CONNECTIONS,
        // A stalled request must notice that its client has left.
        half_closed: false,
        loopback_names: true,
        ..Limits::default()
    }
}
