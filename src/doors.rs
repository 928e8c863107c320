//! The doors: ways in that the service can do without. This table alone names them: without its folder and its row the
//! rest builds as before, which `make walls` holds.

mod events;
mod platform;
mod scan;
#[cfg(test)]
mod tests;

use crate::issuer::door::DoorRow;

/// In the order in which the doctor asks them: scans may be for the people of a platform's merchants.
pub static DOORS: [DoorRow; 3] = [events::DOOR, platform::DOOR, scan::DOOR];
