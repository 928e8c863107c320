//! The doors: ways in that the service can do without. This table alone names them: without its folder and its row the
//! rest builds as before, which `make walls` holds.

mod events;
mod oidc;
mod platform;
mod scan;
#[cfg(test)]
#[allow(dead_code, reason = "without doors nobody runs it")]
#[path = "../crates/store/src/conformance/servers.rs"]
pub mod servers;
#[cfg(test)]
mod tests;

use crate::issuer::door::Doors;

/// Their order is that of their routes in the description of the API, and that in which the doctor asks them: a client
/// of scans may be for the people of a platform's merchants.
pub static DOORS: Doors = &[
    // A row each.
    events::DOOR,
    platform::DOOR,
    scan::DOOR,
    oidc::DOOR,
];
