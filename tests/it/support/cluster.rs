//! A stand-in for a Kubernetes API server: Secrets and ConfigMaps, with the real one's rules of who may write when
//! several want to (`resourceVersion`, 409), who may do what at all (403), and what is not there (404).

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};

use actix_web::dev::ServerHandle;
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Ended, account_service::serve, locked, wxmint};

const TOKEN: &str = "the-rotators-token";
pub(crate) const NAMESPACE: &str = "wxmint";
const USER: &str = "system:serviceaccount:wxmint:wxmint-keys-rotate";

type Hook = Box<dyn FnMut(&mut Objects) + Send>;

pub(crate) struct Cluster {
    state: Arc<State>,
    address: SocketAddr,
    handle: ServerHandle,
    folder: TempDir,
}

#[derive(Default)]
struct State {
    objects: Mutex<Objects>,
    denied: Mutex<Vec<(&'static str, &'static str)>>,
    before_writes: Mutex<Option<Hook>>,
    log: Mutex<Vec<String>>,
}

/// The objects that the cluster holds, by `secrets/NAME` and `configmaps/NAME`.
#[derive(Default)]
pub(crate) struct Objects {
    by_path: BTreeMap<String, Value>,
    version: u64,
}

impl Objects {
    pub(crate) fn get(&self, path: &str) -> Option<&Value> {
        self.by_path.get(path)
    }

    /// As if somebody with all rights had done it.
    pub(crate) fn put(&mut self, path: &str, mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        object["metadata"]["namespace"] = json!(NAMESPACE);
        self.by_path.insert(path.to_owned(), object);
    }

    /// Changes an object as somebody else would.
    pub(crate) fn touch(&mut self, path: &str, label: &str) {
        let mut object = self.by_path[path].clone();
        object["metadata"]["labels"][label] = json!("somebody-else");
        self.put(path, object);
    }
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let state = Arc::<State>::default();
        let handle = serve(listener, Arc::clone(&state), answer);
        let cluster = Self { state, address, handle, folder: tempfile::tempdir().expect("a folder") };
        cluster.write_kubeconfig(TOKEN);
        cluster
    }

    pub(crate) fn write_kubeconfig(&self, token: &str) {
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        });
        fs::write(self.path("kubeconfig"), kubeconfig.to_string()).expect("a kubeconfig");
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn path(&self, file: &str) -> String {
        self.folder.path().join(file).to_string_lossy().into_owned()
    }

    /// `wxmint keys …`, with this cluster configured and nothing else.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = wxmint();
        command.arg("keys").args(arguments).env_clear().env("KUBECONFIG", self.path("kubeconfig"));
        command.env("HOME", self.folder.path()).current_dir(self.folder.path());
        command
    }

    pub(crate) fn keys(&self, arguments: &[&str]) -> Ended {
        Ended::of(&mut self.command(arguments), "")
    }

    pub(crate) fn objects(&self) -> MutexGuard<'_, Objects> {
        locked(&self.state.objects)
    }

    pub(crate) fn object(&self, path: &str) -> Value {
        self.objects().get(path).unwrap_or_else(|| panic!("no {path}")).clone()
    }

    pub(crate) fn secret_field(&self, name: &str, field: &str) -> Value {
        let secret = self.object(&format!("secrets/{name}"));
        let content = STANDARD.decode(secret["data"][field].as_str().expect("a field")).expect("base64");
        serde_json::from_slice(&content).expect("JSON")
    }

    /// From now on `verb` on `resource` (plural) is forbidden.
    pub(crate) fn deny(&self, verb: &'static str, resource: &'static str) {
        locked(&self.state.denied).push((verb, resource));
    }

    pub(crate) fn allow_all(&self) {
        locked(&self.state.denied).clear();
    }

    /// Called when a write has arrived and not yet been looked at, each time.
    pub(crate) fn before_writes(&self, hook: impl FnMut(&mut Objects) + Send + 'static) {
        *locked(&self.state.before_writes) = Some(Box::new(hook));
    }

    pub(crate) fn before_next_write(&self, hook: impl FnOnce(&mut Objects) + Send + 'static) {
        let mut hook = Some(hook);
        self.before_writes(move |objects| {
            if let Some(hook) = hook.take() {
                hook(objects);
            }
        });
    }

    /// The requests since the last call: `VERB RESOURCE STATUS`.
    pub(crate) fn log(&self) -> Vec<String> {
        std::mem::take(&mut *locked(&self.state.log))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The command is sent at once; that it has been followed matters to nobody.
        drop(self.handle.stop(false));
    }
}

struct Target {
    verb: &'static str,
    resource: String,
    name: String,
}

impl Target {
    fn of(request: &HttpRequest, body: &Value) -> Result<Self, Value> {
        let parts: Vec<&str> = request.path().trim_start_matches("/api/v1/namespaces/").split('/').collect();
        let (verb, name) = match (request.method(), &parts[1..]) {
            (&Method::GET, [_, name]) => ("get", *name),
            (&Method::PUT, [_, name]) => ("update", *name),
            (&Method::POST, [_]) => ("create", body["metadata"]["name"].as_str().unwrap_or_default()),
            _ => return Err(failure(405, "MethodNotAllowed", "not known to this stand-in")),
        };
        let target = Self { verb, resource: parts[1].to_owned(), name: name.to_owned() };
        match parts[0] {
            NAMESPACE => Ok(target),
            other if verb == "create" => Err(failure(404, "NotFound", &format!("namespaces \"{other}\" not found"))),
            _ => Err(target.not_found()),
        }
    }

    fn path(&self) -> String {
        format!("{}/{}", self.resource, self.name)
    }

    fn quoted(&self) -> String {
        format!("{} \"{}\"", self.resource, self.name)
    }

    fn not_found(&self) -> Value {
        failure(404, "NotFound", &format!("{} not found", self.quoted()))
    }
}

fn failure(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    })
}

async fn answer(state: web::Data<State>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let given = request.headers().get("authorization").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let target = match Target::of(&request, &body) {
        _ if given != Some(format!("Bearer {TOKEN}")) => Err(failure(401, "Unauthorized", "Unauthorized")),
        target => target,
    };
    let outcome = target.and_then(|target| {
        let outcome = perform(&state, &target, body);
        let status = outcome.as_ref().map_or_else(|status| status["code"].to_string(), |_| "200".into());
        locked(&state.log).push(format!("{} {} {status}", target.verb, target.resource));
        outcome
    });
    let answered = outcome.as_ref().err().map_or(200, |status| status["code"].as_u64().expect("a code"));
    let status = StatusCode::from_u16(answered as u16).expect("a status");
    HttpResponse::build(status).json(outcome.unwrap_or_else(|status| status))
}

fn perform(state: &State, target: &Target, body: Value) -> Result<Value, Value> {
    let denied =
        locked(&state.denied).iter().any(|(verb, resource)| (*verb, *resource) == (target.verb, &target.resource));
    if denied {
        let message = format!(
            "{} is forbidden: User \"{USER}\" cannot {} resource \"{}\" in API group \"\" in the namespace \"{NAMESPACE}\"",
            target.quoted(),
            target.verb,
            target.resource
        );
        return Err(failure(403, "Forbidden", &message));
    }
    let mut objects = locked(&state.objects);
    if target.verb != "get"
        && let Some(hook) = locked(&state.before_writes).as_mut()
    {
        hook(&mut objects);
    }
    match target.verb {
        "get" => {}
        "update" => update(&mut objects, target, body)?,
        _ => create(&mut objects, target, body)?,
    }
    objects.get(&target.path()).cloned().ok_or_else(|| target.not_found())
}

fn update(objects: &mut Objects, target: &Target, new: Value) -> Result<(), Value> {
    let path = target.path();
    let Some(old) = objects.get(&path) else { return Ok(()) };
    let given = &new["metadata"]["resourceVersion"];
    if !given.is_null() && *given != old["metadata"]["resourceVersion"] {
        let message = format!(
            "Operation cannot be fulfilled on {}: the object has been modified; please apply your changes to the latest \
             version and try again",
            target.quoted()
        );
        return Err(failure(409, "Conflict", &message));
    }
    objects.put(&path, new);
    Ok(())
}

fn create(objects: &mut Objects, target: &Target, new: Value) -> Result<(), Value> {
    let path = target.path();
    if objects.get(&path).is_some() {
        return Err(failure(409, "AlreadyExists", &format!("{} already exists", target.quoted())));
    }
    if !new["metadata"]["resourceVersion"].is_null() {
        return Err(failure(400, "BadRequest", "resourceVersion should not be set on objects to be created"));
    }
    objects.put(&path, new);
    Ok(())
}
