//! `wxmint sidecar`, with the settings of the examples.

use std::{net::SocketAddr, process::Command};

use serde_json::Value;

use crate::{
    scene::Scene,
    support::{PATIENCE, Process, WXMINT, eventually},
};

pub(crate) struct Sidecar {
    /// Where proxies ask.
    pub(crate) address: SocketAddr,
    _process: Process,
}

impl Sidecar {
    /// Ready. `rules` are settings besides those that every example has.
    pub(crate) async fn start(scene: &Scene, rules: &[(&str, &str)]) -> Self {
        let mut command = Command::new(WXMINT);
        command.arg("sidecar").env_clear().envs(rules.iter().copied());
        command.env("WXMINT_ISSUER", &scene.issuer).env("WXMINT_AUDIENCE", &scene.issuer);
        command.env("WXMINT_JWKS_URL", scene.jwks_url());
        command.env("WXMINT_SIDECAR_LISTEN", "127.0.0.1:0").env("WXMINT_ADMIN_LISTEN", "127.0.0.1:0");
        let mut process = Process::spawn("wxmint sidecar", &mut command);
        let address = eventually("wxmint sidecar is ready", PATIENCE, async || {
            assert!(process.ended().is_none(), "wxmint sidecar ends: {:?}", process.stderr());
            let lines = process.stderr();
            let event = |message: &str| {
                let mut events = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
                events.find(|event| event["message"] == message)
            };
            event("ready")?;
            event("listening")?["verify"].as_str()?.parse().ok()
        })
        .await;
        Self { address, _process: process }
    }
}
