//! The doors: ways in that the service can do without. This table alone names them: without its folder and its row the
//! rest builds as before, which `make walls` holds.

mod events;
mod scan;
#[cfg(test)]
mod tests;

use crate::issuer::door::DoorRow;

pub static DOORS: [DoorRow; 2] = [events::DOOR, scan::DOOR];
