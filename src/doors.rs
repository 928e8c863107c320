//! The doors: ways in that the service can do without. This table alone names them: without its folder and its row the
//! rest builds as before, which `make walls` holds.

mod events;
mod scan;
#[cfg(test)]
mod tests;

use crate::issuer::door::Doors;

/// Their order is that of their routes in the description of the API.
pub static DOORS: Doors = &[
    // A row each.
    events::DOOR,
    scan::DOOR,
];
