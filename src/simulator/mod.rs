//! The stand-in WeChat: `wxmint simulator`.
//!
//! It answers as WeChat's server API does, down to the content types and the escaped slashes, and has a control side
//! under `/_simulator` by which a test mints login codes, switches on faults and reads back what was sent. It serves
//! wxmint's own tests, its demo and its benchmark, and any team that tests a back end of its own.
//!
//! - `call`: a request to WeChat; `endpoints`: what each of WeChat's endpoints answers, a function of request, world and time;
//! - `world`: people and codes, and the one lock about them; `apps`: what can be changed about an app; `access_tokens`:
//!   those of `stable_token`;
//! - `user_data`: what a phone hands its mini program, sealed with the session key;
//! - `faults`: how it misbehaves on request, drawn from a seed; `wechat_routes`: HTTP, and the misbehaving itself;
//! - `journal`: what was asked and answered, with secrets masked; `control`: the control side; `page`: the demo's phone;
//! - `accounts`: a stand-in for a business's account service, for the demo alone.

mod access_tokens;
mod accounts;
mod apps;
mod call;
mod control;
mod endpoints;
mod faults;
mod journal;
mod page;
mod people;
mod state;
#[cfg(test)]
mod tests;
mod user_data;
mod wechat_routes;
mod world;

use std::{io, net::TcpListener, sync::Arc};

use actix_web::web;

pub use accounts::{Account, AccountBook, Credentials, Link, Links, account_page_routes, run_accounts};
pub use apps::{App, InvalidApp};
pub use control::control_routes;
pub use page::page_routes;
pub use world::{Options, World};

use crate::http::{Limits, serve};

/// More than a load test opens, and less than would end the machine's memory.
const CONNECTIONS: usize = 20_000;

/// Serves WeChat's side and the control side on `listener` until `shutdown` resolves. Requests that are then stalled by
/// a fault get one second more.
///
/// # Errors
/// When the listener cannot be used or the worker threads cannot be started.
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
