//! `wxmint demo` as a process.

use std::{net::SocketAddr, process::Command};

use super::{Process, WXMINT};

pub(crate) struct Demo {
    /// Of the page and the issuer.
    pub(crate) address: SocketAddr,
    _process: Process,
}

impl Demo {
    pub(crate) async fn start() -> Self {
        let mut process =
            Process::spawn("wxmint demo", Command::new(WXMINT).args(["demo", "--listen", "127.0.0.1:0"]).env_clear());
        Self { address: process.printed_address().await, _process: process }
    }
}
