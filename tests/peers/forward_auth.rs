//! The proxies that ask the sidecar about each request, run with the configurations of their examples.

use std::future::ready;
use std::sync::{Arc, atomic::AtomicU16, atomic::Ordering::Relaxed};
use std::{collections::BTreeMap, net::SocketAddr, path::Path, process::Command, time::Duration};

use crate::checks;
use crate::example::{Example, Started, copy_folders, example_folder};
use crate::raw::{Head, LONGEST, Request, listen};
use crate::scene::Scene;
use crate::support::{Breakable, Connection, PATIENCE, Process, Sidecar, free_port, tools, until};

/// A proxy, and how it asks.
pub(crate) struct ForwardAuth {
    name: &'static str,
    /// Where it listens, as the example writes it.
    listens: &'static str,
    pub(crate) program: fn() -> Command,
    longest: Duration,
    /// The other headers of its question to the sidecar, besides `Authorization` and `Host`.
    shows: &'static str,
}

pub(crate) const CADDY: ForwardAuth = ForwardAuth {
    name: "caddy",
    listens: ":8000",
    program: || {
        let mut program = Command::new(tools("python/bin/caddy"));
        program.args(["run", "--config", "Caddyfile"]);
        program
    },
    longest: LONGEST,
    shows: "accept-encoding user-agent x-forwarded-method x-forwarded-uri",
};

pub(crate) const NGINX: ForwardAuth = ForwardAuth {
    name: "nginx",
    listens: "127.0.0.1:8000",
    // Without a master, whose workers would outlive it when it is killed.
    program: || {
        // Where Debian has it, which is not in everybody's PATH.
        let debian = Path::new("/usr/sbin/nginx");
        let mut program = Command::new(if debian.exists() {
            debian
        } else {
            Path::new("nginx")
        });
        program.args([
            "-p",
            ".",
            "-c",
            "nginx.conf",
            "-g",
            "daemon off; master_process off;",
        ]);
        program
    },
    longest: LONGEST,
    shows: "",
};

pub(crate) const TRAEFIK: ForwardAuth = ForwardAuth {
    name: "traefik",
    listens: "127.0.0.1:8000",
    program: || {
        let mut program = Command::new(tools("python/bin/traefik"));
        program.arg("--configFile=traefik.yml");
        program
    },
    // It gives a silent sidecar 30 s.
    longest: Duration::from_secs(35),
    shows: "accept-encoding user-agent x-forwarded-for x-forwarded-host x-forwarded-method x-forwarded-port \
            x-forwarded-proto x-forwarded-uri",
};

/// A proxy before a scene's back end, and a sidecar that can be cut off from it.
pub(crate) struct Stage {
    pub(crate) scene: Scene,
    pub(crate) proxy: Started,
    link: Breakable,
    _sidecar: Sidecar,
}

impl Stage {
    pub(crate) async fn with(proxy: &ForwardAuth) -> Self {
        let scene = Scene::start().await;
        let sidecar = scene.sidecar().await;
        let link = Breakable::before(sidecar.public).await;
        let proxy = proxy.start(&scene, link.address()).await;
        Self {
            scene,
            proxy,
            link,
            _sidecar: sidecar,
        }
    }

    async fn lets_good_tokens_through_and_nothing_else(&self) {
        checks::asks_a_sidecar(&self.scene, &self.proxy.example, &self.link).await;
    }

    /// Without its sidecar it answers 503 with `Retry-After`, and what is public is served all the same.
    async fn says_when_to_come_again(&self) {
        self.link.cut().await;
        let asked = Request::get("/orders")
            .bearer(&self.scene.lin.token)
            .send(self.proxy.example.address)
            .await;
        let reply = asked.expect("an answer");
        assert_eq!(
            (reply.status, reply.header("retry-after")),
            (503, vec!["5"])
        );
        let public = Request::get("/public/hello")
            .send(self.proxy.example.address)
            .await
            .expect("an answer");
        assert_eq!(public.status, 200);
    }

    /// The question of the proxy to the sidecar about a POST of `/orders?page=2` with a body and much else in its head:
    /// the target, and the headers by name. The question goes to the scene's back end.
    async fn question(&self) -> (String, BTreeMap<String, String>) {
        self.link.lead_to(self.scene.back_end.address);
        self.link.hang_up().await;
        self.scene.back_end.take();
        let more = "Authorization: Bearer a.b.c\r\nCookie: secret=1\r\nX-User-Id: forged\r\nX-Forwarded-Uri: /forged\r\n\
                    X-Forwarded-Method: forged\r\nX-Forwarded-For: forged\r\n";
        Connection::to(self.proxy.example.address)
            .await
            .send("POST /orders?page=2", more, "body")
            .await;
        let question = self
            .scene
            .back_end
            .take()
            .into_iter()
            .next()
            .expect("a question");
        let headers = question
            .headers
            .into_iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value));
        (
            format!("{} {}", question.method, question.path),
            headers.collect(),
        )
    }
}

impl ForwardAuth {
    /// Between the scene's back end and `sidecar`.
    pub(crate) async fn start(&self, scene: &Scene, sidecar: SocketAddr) -> Started {
        let port = free_port();
        let own = self.listens.replace("8000", &port.to_string());
        let (back_end, asked) = (scene.back_end.address.to_string(), sidecar.to_string());
        let addresses = [
            (self.listens, &*own),
            ("127.0.0.1:3000", &*back_end),
            ("127.0.0.1:8181", &*asked),
        ];
        let folder = example_folder(self.name, &addresses);
        // Caddy keeps things at home.
        let mut program = (self.program)();
        let mut process = Process::spawn(
            self.name,
            program
                .current_dir(folder.path())
                .env("HOME", folder.path()),
        );
        let example = Example {
            longest: self.longest,
            ..Example::new(self.name, port)
        };
        until("it asks the sidecar", PATIENCE, async || {
            assert!(
                process.ended().is_none(),
                "{} ends: {:?}",
                self.name,
                process.stderr()
            );
            let reply = Request::get(example.protected).send(example.address).await;
            reply.is_ok_and(|reply| reply.status == 401)
        })
        .await;
        Started {
            example,
            _process: process,
            folder,
        }
    }
}

#[tokio::test]
async fn caddy_with_the_sidecar_lets_good_tokens_through_and_nothing_else_and_without_it_says_when_to_come_again()
 {
    let stage = Stage::with(&CADDY).await;
    stage.lets_good_tokens_through_and_nothing_else().await;
    stage.says_when_to_come_again().await;
}

#[tokio::test]
async fn nginx_with_the_sidecar_lets_good_tokens_through_and_nothing_else_and_without_it_says_when_to_come_again()
 {
    let stage = Stage::with(&NGINX).await;
    stage.lets_good_tokens_through_and_nothing_else().await;
    stage.says_when_to_come_again().await;
}

#[tokio::test]
async fn traefik_with_the_sidecar_lets_good_tokens_through_and_nothing_else() {
    Stage::with(&TRAEFIK)
        .await
        .lets_good_tokens_through_and_nothing_else()
        .await;
}

#[tokio::test]
async fn the_sidecar_is_shown_the_token_and_nothing_else_of_the_clients() {
    for proxy in [CADDY, NGINX, TRAEFIK] {
        let (target, headers) = Stage::with(&proxy).await.question().await;
        assert_eq!(target, "GET /verify", "{}", proxy.name);
        let mut shown: Vec<_> = proxy
            .shows
            .split_whitespace()
            .chain(["authorization", "host"])
            .collect();
        shown.sort_unstable();
        assert_eq!(
            headers.keys().map(String::as_str).collect::<Vec<_>>(),
            shown,
            "{}",
            proxy.name
        );
        assert_eq!(headers["authorization"], "Bearer a.b.c", "{}", proxy.name);
        assert!(
            headers.values().all(|value| !value.contains("forged")),
            "{}: {headers:?}",
            proxy.name
        );
    }
}

/// nginx as the chart has it, where the sidecar lets everybody pass and the service answers so; where it listens, and
/// its port for the kubelet.
async fn nginx_of_the_chart(
    says: impl Fn(Head) -> String + Send + Sync + 'static,
) -> (Process, [SocketAddr; 2], impl Drop) {
    let folder = tempfile::tempdir().expect("a folder");
    let (sidecar, _) =
        listen(async |_| Some("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned())).await;
    let (service, _) = listen(move |head| ready(Some(says(head)))).await;
    let [address, readiness] =
        [free_port(), free_port()].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let places = [
        ("listen 8080;", format!("listen {address};")),
        ("listen 8081;", format!("listen {readiness};")),
        ("127.0.0.1:3000", service.to_string()),
        ("127.0.0.1:8181", sidecar.to_string()),
        ("/tmp/", "./".to_owned()),
    ];
    let places = places.each_ref().map(|(old, new)| (*old, &**new));
    copy_folders(&[("k8s/chart/files", folder.path())], &places);
    let nginx = Process::spawn("nginx", (NGINX.program)().current_dir(folder.path()));
    until("nginx answers", PATIENCE, async || {
        Request::get("/").send(readiness).await.is_ok()
    })
    .await;
    (nginx, [address, readiness], folder)
}

/// Strangers could fill the disk of the pod, and the kubelet would evict it.
#[tokio::test]
async fn nginx_of_the_chart_writes_nothing_to_disk() {
    let large = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}",
        16 << 20,
        "x".repeat(16 << 20)
    );
    let (nginx, [address, _], _folder) = nginx_of_the_chart(move |_| large.clone()).await;
    let (status, answer) = Connection::to(address)
        .await
        .send("POST /orders", "", &"x".repeat(1 << 20))
        .await;
    assert_eq!((status, answer.len()), (200, 16 << 20));
    let log = nginx.stderr();
    assert!(
        !log.iter().any(|line| line.contains("temporary file")),
        "{log:?}"
    );
}

/// Whatever it makes of the path. Its own words decide where it has some, and nothing else of it is open to all.
#[tokio::test]
async fn a_service_behind_nginx_of_the_chart_is_ready_once_it_answers() {
    let said = Arc::new(AtomicU16::new(0));
    let says = Arc::clone(&said);
    let answer = move |head: Head| {
        assert!(head.first.starts_with("GET /public/healthz "), "{head:?}");
        format!(
            "HTTP/1.1 {} So\r\nContent-Length: 0\r\n\r\n",
            says.load(Relaxed)
        )
    };
    let (_nginx, [_, readiness], _folder) = nginx_of_the_chart(answer).await;
    let status = async |path| {
        Request::get(path)
            .send(readiness)
            .await
            .expect("an answer")
            .status
    };
    for (answer, ready) in [
        (503, 503),
        (404, 200),
        (500, 500),
        (401, 200),
        (302, 200),
        (204, 204),
        (200, 200),
    ] {
        said.store(answer, Relaxed);
        assert_eq!(status("/readyz").await, ready, "{answer}");
    }
    assert_eq!(
        [
            status("/orders").await,
            status("/public/healthz").await,
            status("/readyz/").await
        ],
        [404; 3]
    );
}
