//! `wxmint sidecar` as a process, which takes its keys from a scene's issuer.

use std::{net::SocketAddr, process::Command};

use crate::{
    scene::Scene,
    support::{PATIENCE, Process, WXMINT, eventually},
};

pub(crate) struct Sidecar {
    pub(crate) address: SocketAddr,
    _process: Process,
}

impl Sidecar {
    /// Ready, with what it needs and nothing else.
    pub(crate) async fn start(scene: &Scene) -> Self {
        Self::with(scene, &[]).await
    }

    /// The same with more settings, or others.
    pub(crate) async fn with(scene: &Scene, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(WXMINT);
        command.arg("sidecar").env_clear();
        command.envs([("WXMINT_JWKS_URL", &*scene.jwks_url()), ("WXMINT_ISSUER", &*scene.issuer)]);
        command.env("WXMINT_AUDIENCE", &scene.issuer);
        command.envs([("WXMINT_SIDECAR_LISTEN", "127.0.0.1:0"), ("WXMINT_ADMIN_LISTEN", "127.0.0.1:0")]);
        command.envs(settings.iter().copied());
        let mut process = Process::spawn("wxmint sidecar", &mut command);
        let address = eventually("the sidecar is ready", PATIENCE * 2, async || {
            assert!(process.ended().is_none(), "the sidecar ends: {:?}", process.stderr());
            let events = process.events();
            let event = |message| events.iter().find(|event| event["message"] == message);
            event("ready")?;
            event("listening")?["verify"].as_str()?.parse().ok()
        })
        .await;
        Self { address, _process: process }
    }
}
