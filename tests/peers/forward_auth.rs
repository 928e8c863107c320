//! The proxies that ask the sidecar about each request, run with the configurations of their examples.

use std::{collections::BTreeMap, net::SocketAddr, process::Command};

use tempfile::TempDir;

use crate::{
    checks,
    example::{Example, example_folder},
    raw::Request,
    scene::Scene,
    sidecar::Sidecar,
    support::{Breakable, Connection, PATIENCE, Process, eventually, free_port},
};

/// A proxy before a scene's back end, and a sidecar that can be cut off from it.
pub(crate) struct Stage {
    pub(crate) scene: Scene,
    pub(crate) proxy: ForwardAuth,
    link: Breakable,
    _sidecar: Sidecar,
}

impl Stage {
    /// With further settings of the sidecar.
    pub(crate) async fn with(rules: &[(&str, &str)], started: impl AsyncFn(&Scene, SocketAddr) -> ForwardAuth) -> Self {
        let scene = Scene::start().await;
        let sidecar = Sidecar::with(&scene, rules).await;
        let link = Breakable::before(sidecar.address).await;
        let proxy = started(&scene, link.address()).await;
        Self { scene, proxy, link, _sidecar: sidecar }
    }

    pub(crate) async fn lets_good_tokens_through_and_nothing_else(&self) {
        checks::asks_a_sidecar(&self.scene, &self.proxy.example, &self.link).await;
    }

    /// Asks it `GET /verify` with these headers and no others; the path is in `path_header`.
    pub(crate) async fn shows_the_sidecar(&self, path_header: &str, names: &[&str]) {
        let (target, headers) = self.proxy.question(&self.scene, &self.link).await;
        assert_eq!(target, "GET /verify");
        assert_eq!(headers.keys().map(String::as_str).collect::<Vec<_>>(), names);
        assert_eq!((&*headers["authorization"], &*headers[path_header]), ("Bearer a.b.c", "/orders?page=2"));
    }

    /// Without its sidecar it answers 503 with `Retry-After`, and what is public is served all the same.
    pub(crate) async fn says_when_to_come_again(&self) {
        self.link.cut().await;
        let asked = Request::get("/orders").bearer(&self.scene.lin.token).send(self.proxy.example.address).await;
        let reply = asked.expect("an answer");
        assert_eq!((reply.status, reply.header("retry-after")), (503, vec!["5"]));
        let public = Request::get("/public/hello").send(self.proxy.example.address).await.expect("an answer");
        assert_eq!(public.status, 200);
    }
}

pub(crate) struct ForwardAuth {
    pub(crate) example: Example,
    _process: Process,
    _folder: TempDir,
}

impl ForwardAuth {
    /// Between the scene's back end and `sidecar`. `listens` is where the example listens, as it writes it; `program` is
    /// run in a copy of the example's folder.
    pub(crate) async fn start(
        scene: &Scene,
        sidecar: SocketAddr,
        (name, listens): (&'static str, &str),
        mut program: Command,
    ) -> Self {
        let port = free_port();
        let own = listens.replace("8000", &port.to_string());
        let (back_end, asked) = (scene.back_end.address.to_string(), sidecar.to_string());
        let addresses = [(listens, &*own), ("127.0.0.1:3000", &*back_end), ("127.0.0.1:8181", &*asked)];
        let folder = example_folder(name, &addresses);
        // Caddy keeps things at home.
        let mut process = Process::spawn(name, program.current_dir(folder.path()).env("HOME", folder.path()));
        let example = Example::new(name, port);
        eventually("it asks the sidecar", PATIENCE, async || {
            assert!(process.ended().is_none(), "{name} ends: {:?}", process.stderr());
            let reply = Request::get(example.protected).send(example.address).await;
            reply.is_ok_and(|reply| reply.status == 401).then_some(())
        })
        .await;
        Self { example, _process: process, _folder: folder }
    }

    /// What it asks the sidecar about a POST of `/orders?page=2` with a body and much else in its head: the target, and
    /// the headers by name. The question goes to the scene's back end.
    async fn question(&self, scene: &Scene, sidecar: &Breakable) -> (String, BTreeMap<String, String>) {
        let real = sidecar.target();
        sidecar.lead_to(scene.back_end.address);
        sidecar.hang_up().await;
        scene.back_end.take();
        let more = "Authorization: Bearer a.b.c\r\nCookie: secret=1\r\nX-User-Id: forged\r\nX-Original-URI: /public/x\r\n\
                    X-Forwarded-Uri: /public/x\r\nX-Forwarded-Method: HEAD\r\nX-Forwarded-For: 192.0.2.1\r\n";
        Connection::to(self.example.address).await.send("POST /orders?page=2", more, "body").await;
        let question = scene.back_end.take().into_iter().next().expect("a question");
        sidecar.lead_to(real);
        sidecar.hang_up().await;
        let headers = question.headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
        (format!("{} {}", question.method, question.path), headers.collect())
    }
}
