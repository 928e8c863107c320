//! The admin listener: probes and metrics for everybody who reaches it, and for holders of a secret what operators and
//! peers ask about users, and what they do with WeChat in a user's name.

pub(crate) mod act;
mod console;
mod doctor;
mod recent;
pub(crate) mod routes;
pub(crate) mod tokens;
mod users;
pub(crate) mod wechat;

use std::{io, net::TcpListener, sync::Arc};

use actix_web::dev::ServerHandle;
use actix_web::web::{Data, ServiceConfig};
use wxmint_findings::Doctor;
use wxmint_http::{Readiness, described::RouteTable, serve_admin, viewer};

pub use self::console::Panel;
pub use self::tokens::{AdminTokens, CurrentAdminTokens};
use self::{act::Operating, doctor::LatestDiagnosis};
use crate::login::LoginWorker;

const PATHS: &str = "This listener has /livez, /readyz and /metrics, and if WXMINT_ADMIN_TOKENS_FILE is set, the \
                     console at /console and what /docs describes.";

/// The routes of the doors, their panels of the console, and what gives their handlers their state.
#[derive(Clone)]
pub struct AtDoors {
    pub tables: Vec<RouteTable>,
    pub panels: Vec<Panel>,
    pub configure: Arc<dyn Fn(&mut ServiceConfig) + Send + Sync>,
}

/// Starts the listener, which runs until the handle stops it. `tokens` are the secrets of operators, without which
/// there are no paths about users; `worker` makes a worker with connections of its own, `doctor` examines the
/// configuration, and `doors` adds their routes.
pub fn start(
    listener: TcpListener,
    readiness: Readiness,
    metrics: impl Fn() -> String + Clone + Send + 'static,
    tokens: Option<CurrentAdminTokens>,
    worker: impl Fn() -> LoginWorker + Clone + Send + 'static,
    doctor: Doctor,
    doors: AtDoors,
) -> io::Result<ServerHandle> {
    let description = Data::new(routes::description(doors.tables.clone()));
    let users = move |config: &mut ServiceConfig| {
        if let Some(tokens) = tokens.clone() {
            config
                .app_data(Data::new(Operating { tokens, worker: worker() }))
                .app_data(Data::new(LatestDiagnosis::of(Arc::clone(&doctor))))
                .app_data(description.clone())
                .configure(|config| (doors.configure)(config))
                .configure(|config| routes::routes(config, &doors.tables))
                .configure(viewer::routes)
                .configure(|config| console::pages(config, &doors.panels));
        }
    };
    serve_admin(listener, readiness, metrics, users, PATHS)
}
