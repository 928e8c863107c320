//! The doors: optional modules of the service, each in a folder of its own. Only this table names
//! them. If the folder and the row of a door are deleted, the rest still builds; `make walls`
//! checks this.

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

/// The order of the rows is the order of their routes in the description of the API, and the order
/// in which the doctor checks the doors. `platform` comes before `scan`, because a client of scans
/// may serve the people of a platform's merchants.
pub static DOORS: Doors = &[
    // A row each.
    events::DOOR,
    platform::DOOR,
    scan::DOOR,
    oidc::DOOR,
];
