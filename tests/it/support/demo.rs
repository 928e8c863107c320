//! `wxmint demo` as a process.

use std::net::SocketAddr;

use super::{Process, wxmint};

pub(crate) struct Demo {
    /// The address of the page and the issuer.
    pub(crate) address: SocketAddr,
    _process: Process,
}

impl Demo {
    pub(crate) async fn start() -> Self {
        // A bare container has no root certificates, and the demo needs none.
        let nothing = [
            ("SSL_CERT_FILE", "/dev/null"),
            ("SSL_CERT_DIR", "/dev/null"),
        ];
        let mut demo = wxmint();
        demo.args(["demo", "--listen", "127.0.0.1:0"])
            .env_clear()
            .envs(nothing);
        let mut process = Process::spawn("wxmint demo", &mut demo);
        Self {
            address: process.printed_address().await,
            _process: process,
        }
    }
}
