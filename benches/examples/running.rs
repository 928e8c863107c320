//! How each example is started, and which processes belong to it.

use std::{any::Any, fs, process};

use crate::{
    Fault, envoy_jwt, envoy_sidecar,
    example::Example,
    forward_auth::{CADDY, NGINX, TRAEFIK},
    go, kernel,
    key_files::{APACHE, HAPROXY},
    nginx_njs,
    rust::RustApi,
    scene::Scene,
    scripts::{express, fastapi},
    support::{PATIENCE, Sidecar, eventually},
};

/// One way to verify tokens.
pub(crate) struct Way {
    /// The name on the command line.
    pub(crate) name: &'static str,
    /// The name in tables and charts.
    pub(crate) title: &'static str,
    /// The settings of its sidecar, besides those that every sidecar needs; `None` if it has no sidecar.
    sidecar: Option<&'static [(&'static str, &'static str)]>,
    /// Whether it caches verified tokens.
    pub(crate) remembers: bool,
}

const fn alone(name: &'static str, title: &'static str) -> Way {
    Way { name, title, sidecar: None, remembers: false }
}

const fn with_sidecar(name: &'static str, title: &'static str) -> Way {
    Way { name, title, sidecar: Some(&[]), remembers: true }
}

/// In the order of docs/verify.md.
pub(crate) const EXAMPLES: [Way; 13] = [
    alone("actix-web", "Rust: actix-web"),
    alone("axum", "Rust: axum"),
    alone("go", "Go: golang-jwt"),
    alone("node", "Node: Express, jose"),
    alone("python", "Python: FastAPI, PyJWT"),
    alone("envoy-jwt", "Envoy, jwt_authn"),
    alone("nginx-njs", "nginx, njs"),
    alone("haproxy", "HAProxy"),
    Way { remembers: true, ..alone("apache", "Apache, mod_oauth2") },
    with_sidecar("nginx", "nginx, sidecar"),
    with_sidecar("caddy", "Caddy, sidecar"),
    Way { sidecar: Some(TRAEFIK.rules), ..with_sidecar("traefik", "Traefik, sidecar") },
    with_sidecar("envoy-sidecar", "Envoy, sidecar"),
];

/// A running example. Its processes end when it is dropped.
pub(crate) struct Running {
    pub(crate) example: Example,
    /// The process ids of the program and of its sidecar, if it has one.
    pub(crate) pids: Vec<u32>,
    _program: Box<dyn Any>,
    _sidecar: Option<Sidecar>,
}

impl Running {
    /// Starts the example and waits until it accepts tokens.
    pub(crate) async fn start(way: &Way, scene: &Scene) -> Result<Self, Fault> {
        let before = kernel::children(process::id())?;
        let sidecar = match way.sidecar {
            Some(settings) => Some(scene.sidecar(settings).await),
            None => None,
        };
        let with_sidecar = kernel::children(process::id())?;
        let (example, program) = start(way.name, scene, sidecar.as_ref()).await?;
        eventually(way.name, PATIENCE, async || scene.is_let_in(&example).await).await;
        let mut pids = new(kernel::children(process::id())?, &with_sidecar);
        pids.retain(|pid| !is_shell(*pid));
        if pids.len() != 1 {
            return Err(format!("{} has started {} processes rather than one", way.name, pids.len()).into());
        }
        pids.extend(new(with_sidecar, &before));
        Ok(Self { example, pids, _program: program, _sidecar: sidecar })
    }
}

pub(crate) fn new(mut pids: Vec<u32>, before: &[u32]) -> Vec<u32> {
    pids.retain(|pid| !before.contains(pid));
    pids
}

/// In place of a systemd timer, a shell asks nginx every 5 s to look at the feed. Only nginx is measured.
fn is_shell(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "sh")
}

type Started = (Example, Box<dyn Any>);

async fn start(name: &str, scene: &Scene, sidecar: Option<&Sidecar>) -> Result<Started, Fault> {
    let sidecar = || sidecar.map(|sidecar| sidecar.address).ok_or("it needs a sidecar");
    Ok(match name {
        "actix-web" => started(RustApi::start(scene, "peer-actix"), |it| &it.example),
        "axum" => started(RustApi::start(scene, "peer-axum"), |it| &it.example),
        "go" => started(go::start(scene.address(), &[]), |it| &it.example),
        "node" => started(express(scene.address(), &[]), |it| &it.example),
        "python" => started(fastapi(scene.address(), &[]), |it| &it.example),
        "envoy-jwt" => started(envoy_jwt::started(scene, scene.address(), &[]).await, |it| &it.example),
        "nginx-njs" => started(nginx_njs::Nginx::start(scene, &scene.jwks_url()).await, |it| &it.started.example),
        "haproxy" => started(HAPROXY.start(scene, &scene.jwks_url()).await, |it| &it.example),
        "apache" => started(APACHE.start(scene, &scene.jwks_url()).await, |it| &it.example),
        "nginx" => started(NGINX.start(scene, sidecar()?).await, |it| &it.example),
        "caddy" => started(CADDY.start(scene, sidecar()?).await, |it| &it.example),
        "traefik" => started(TRAEFIK.start(scene, sidecar()?).await, |it| &it.example),
        "envoy-sidecar" => started(envoy_sidecar::started(scene, sidecar()?).await, |it| &it.example),
        _ => return Err(format!("nobody knows how to start {name}").into()),
    })
}

fn started<T: 'static>(program: T, example: fn(&T) -> &Example) -> Started {
    (example(&program).clone(), Box::new(program))
}
