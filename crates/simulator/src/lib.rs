//! The stand-ins of wxmint: for WeChat (`wxmint simulator`), for a business's account service, and
//! the page of `wxmint demo`. They are routes for actix-web. The program that uses them runs the
//! server.
//!
//! The stand-in WeChat answers as WeChat's server API does, down to the content types and the
//! escaped slashes. With its control API under `/_simulator`, a test mints login codes, switches
//! faults on and reads requests and answers. wxmint's own tests, its demo and its benchmark use it,
//! and so can any team that tests a back end. It shares no code with wxmint's client of WeChat,
//! because both would then share the same mistakes.
//!
//! - `call`: a request to WeChat; `endpoints`: the answers of WeChat's endpoints;
//! - `world`: all state; `people`: people and their codes; `apps`: the mini programs;
//!   `access_tokens`: the access tokens of `stable_token`;
//! - `user_data`: the data that a phone gives its mini program, encrypted with the session key;
//!   `encrypt_keys`: the keys with which a phone encrypts its messages; `virtual_payment`: calls
//!   that are signed with the session key; `mini_program_codes`: the pictures that a phone scans;
//! - `faults`: decides which request gets which fault; `wechat_routes`: WeChat's endpoints over
//!   HTTP, with faults;
//! - `platform`: a third-party platform and its merchants; `other_platforms`: the logins of Douyin, QQ,
//!   Kuaishou, Bilibili and Huawei; `alipay`: Alipay's;
//! - `journal`: requests and answers, with secrets masked; `control`: the control API; `page`: the demo's page;
//! - `command`: the command line of `wxmint simulator`;
//! - `accounts`: the demo's stand-in for a business's account service; `peer`: the demo's service that verifies tokens;
//!   `regulars`: the demo's people.

mod access_tokens;
mod accounts;
mod alipay;
mod apps;
mod call;
mod command;
mod control;
mod encrypt_keys;
mod endpoints;
mod faults;
mod journal;
mod mini_program_codes;
mod oauth2;
mod oauth2_pages;
mod other_platforms;
mod page;
mod peer;
mod people;
mod platform;
mod regulars;
mod state;
#[cfg(test)]
mod tests;
mod user_data;
mod virtual_payment;
mod wechat_routes;
mod world;

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::web::{self, ServiceConfig};
use chrono::{DateTime, Utc};

pub use accounts::{
    Account, AccountBook, Block, Credentials, KnownOf, account_page_routes, account_routes,
};
pub use apps::{App, InvalidApp, Kind};
pub use command::{DEFAULT_ADDRESS, DEFAULT_APP, Options, SimulatorArgs};
pub use control::control_routes;
pub use page::{PageFile, page_files};
pub use peer::peer_routes;
pub use platform::envelope::{Envelope, push_xml, seal_push};
pub use platform::{InvalidPlatform, Platform};
pub use regulars::{DEMO_APPS, regulars_book, regulars_logins};
pub use world::World;

/// All routes of the stand-in WeChat: its endpoints and the control API. For the fault `reset`,
/// `reset_on_close` makes the system close the request's connection with a TCP RST.
pub fn routes(
    world: Arc<World>,
    reset_on_close: fn(&HttpRequest),
) -> impl FnOnce(&mut ServiceConfig) + Clone {
    move |config| {
        if let Some(component) = &world.component {
            component.start();
        }
        config
            .configure(control_routes(Arc::clone(&world)))
            .configure(oauth2_pages::routes(Arc::clone(&world)))
            .configure(platform::login_page::routes(Arc::clone(&world)))
            .configure(wechat_routes::routes(world, reset_on_close))
            .default_service(web::to(control::no_such_path));
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the stand-in has the clock of its machine"
)]
fn now() -> DateTime<Utc> {
    Utc::now()
}
