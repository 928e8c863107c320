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

use actix_web::web::{Data, ServiceConfig};
use wxmint_findings::Doctor;
use wxmint_http::described::Routes;
use wxmint_http::viewer::{self, Description};

pub use self::console::Panel;
pub use self::tokens::{AdminTokens, CurrentAdminTokens};
use self::{act::Operating, doctor::LatestDiagnosis};

pub(crate) const PATHS: &str = "\
    This listener has /livez, /readyz and /metrics, and if WXMINT_ADMIN_TOKENS_FILE is set, the console at /console and \
    what /docs describes.";

/// Adds what the holders of a secret may ask for, with the routes of the doors and their panels of the console.
/// `doctor` examines the configuration.
pub(crate) fn configure(
    config: &mut ServiceConfig,
    operating: Operating,
    doctor: Doctor,
    description: Data<Description>,
    of_doors: &[&Routes],
    panels: &[Panel],
) {
    config
        .app_data(Data::new(operating))
        .app_data(Data::new(LatestDiagnosis::of(doctor)))
        .app_data(description)
        .configure(|config| routes::routes(config, of_doors))
        .configure(viewer::routes)
        .configure(|config| console::pages(config, panels));
}
