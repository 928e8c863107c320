//! `wxmint demo` as a process.

use std::process::Command;

use super::{PATIENCE, Process, WXMINT, eventually};

pub(crate) struct Demo {
    /// Of the page and the issuer: `127.0.0.1:PORT`.
    pub(crate) address: String,
    _process: Process,
}

impl Demo {
    pub(crate) async fn start() -> Self {
        let mut process =
            Process::spawn("wxmint demo", Command::new(WXMINT).args(["demo", "--listen", "127.0.0.1:0"]).env_clear());
        let address = eventually("the demo's address", PATIENCE, async || {
            assert!(process.ended().is_none(), "the demo ends: {:?}", process.stderr());
            Some(process.stdout().first()?.split_once("http://")?.1.split('/').next()?.to_owned())
        })
        .await;
        Self { address, _process: process }
    }
}
