//! Keys in a Kubernetes Secret, and the public set in a ConfigMap, for verifiers that mount it instead of fetching it.
//!
//! An object cannot be locked. A write names the version that was read (`resourceVersion`), and the API server refuses
//! it (409) if the object has changed since; then the command reads and decides again.
//!
//! The client's own copies of the keys are not wiped, because the process ends right after.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use derive_more::Display;
use kube::api::entry::{CommitError, Entry};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, PostParams};
use kube::{Api, Client, Config, Error};
use tokio::runtime::{self, Runtime};
use wxmint_keys::StoredKeys;
use wxmint_upstream::describe;

use super::place::{KeysPlace, ObjectName};
use super::{Failure, print, public_set};

/// An API server that takes longer is out of order, because commands ask it a few times a minute at most.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// Each lost race means that another change was made: of several that race, one wins each time, without a pause too. So
/// many losses in a row are no accident.
const TRIES: u32 = 5;
/// Bounds an answer that is not the API server's own, for example a proxy's page.
const LONGEST_MESSAGE: usize = 300;

/// A kind of object, and the only field of it that wxmint reads and changes.
pub(super) struct Kind {
    name: &'static str,
    /// The name that `kubectl` uses.
    short: &'static str,
    pub(super) field: &'static str,
    /// Whether Kubernetes has the contents of fields as base64.
    is_base64: bool,
}

/// A mounted Secret shows the field as a file (`WXMINT_KEYS=…/keys.json`).
pub(super) const SECRET: Kind = Kind { name: "Secret", short: "secret", field: "keys.json", is_base64: true };
/// The file that peers see.
const CONFIG_MAP: Kind = Kind { name: "ConfigMap", short: "configmap", field: "jwks.json", is_base64: false };

/// One object, which need not exist.
#[derive(Display)]
#[display("{} {name}", kind.short)]
pub(super) struct Remote {
    pub(super) kind: Kind,
    name: ObjectName,
    resource: ApiResource,
    api: Api<DynamicObject>,
    runtime: Runtime,
}

impl Remote {
    /// Connects with the kubeconfig (`KUBECONFIG` or `~/.kube/config`), otherwise as the pod's service account.
    pub(super) fn open(kind: Kind, name: ObjectName) -> Result<Self, Failure> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", kind.name));
        let api = Api::namespaced_with(runtime.block_on(client())?, &name.namespace, &resource);
        Ok(Self { kind, name, resource, api, runtime })
    }

    /// The field; `None` if it or the object is missing.
    pub(super) fn read(&self) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.content(&self.entry()?))
    }

    fn content(&self, entry: &Entry<'_, DynamicObject>) -> Option<Vec<u8>> {
        let text = entry.get()?.data["data"][self.kind.field].as_str()?;
        if self.kind.is_base64 { STANDARD.decode(text).ok() } else { Some(text.into()) }
    }

    /// Lets `decide` see the field, and writes what `decide` returns beside its outcome, if anything. If somebody else
    /// has changed the object since it was read (`metadata.resourceVersion`), nothing is written, and `decide` sees the
    /// field anew.
    pub(super) fn change<T, C: AsRef<[u8]>>(
        &self,
        mut decide: impl FnMut(Option<&[u8]>) -> Result<(T, Option<C>), Failure>,
    ) -> Result<T, Failure> {
        for _ in 0..TRIES {
            let entry = self.entry()?;
            let (outcome, content) = decide(self.content(&entry).as_deref())?;
            let Some(content) = content else { return Ok(outcome) };
            if self.write(entry, content.as_ref())? {
                return Ok(outcome);
            }
        }
        Err(Failure::unfinished(format_args!(
            "{self}: somebody else changed it {TRIES} times while this command was deciding; nothing was written"
        )))
    }

    fn entry(&self) -> Result<Entry<'_, DynamicObject>, Failure> {
        self.runtime.block_on(self.api.entry(&self.name.name)).map_err(|error| self.explain("get", &error))
    }

    /// Returns false if somebody else was quicker.
    fn write(&self, entry: Entry<'_, DynamicObject>, content: &[u8]) -> Result<bool, Failure> {
        let is_new = entry.get().is_none();
        let text = String::from_utf8_lossy(content);
        let text = if self.kind.is_base64 { STANDARD.encode(content).into() } else { text };
        let mut object = entry.or_insert(|| DynamicObject::new(&self.name.name, &self.resource));
        object.get_mut().data["data"][self.kind.field] = text.into();
        match self.runtime.block_on(object.commit(&PostParams::default())) {
            Ok(()) => Ok(true),
            Err(CommitError::Save(Error::Api(status))) if status.is_already_exists() => Ok(false),
            Err(CommitError::Save(Error::Api(status))) if !is_new && [404, 409].contains(&status.code) => Ok(false),
            Err(CommitError::Save(error)) => Err(self.explain(if is_new { "create" } else { "update" }, &error)),
            Err(CommitError::Validate(error)) => Err(Failure::unfinished(format_args!("{self}: {error}"))),
        }
    }

    fn explain(&self, verb: &str, error: &Error) -> Failure {
        let reason = match error {
            // Its message names the verb, the resource and the namespace of a right that is missing.
            Error::Api(status) => {
                let said: String = status.message.chars().take(LONGEST_MESSAGE).collect();
                format!("the API server refused to {verb} it ({}): {said}", status.code)
            }
            // The error's text can quote the answer, which may be a key.
            Error::SerdeError(_) => format!("the answer of the API server is not a {}", self.kind.short),
            other if verb == "get" => format!("the API server gave no answer: {}", describe(other)),
            other => format!(
                "the API server gave no answer, so the change may have been made or not; see `kubectl get {}`: {}",
                self.kind.short,
                describe(other)
            ),
        };
        Failure::unfinished(format_args!("{self}: {reason}"))
    }

    pub(super) fn keys_of(&self, content: Option<&[u8]>) -> Result<StoredKeys, Failure> {
        let (name, field) = (&self.name, self.kind.field);
        let content = content.ok_or_else(|| {
            let make = format!("make it with: wxmint keys generate --secret {name}");
            Failure::usage(format_args!("{self} is not there, or has no field {field}; {make}"))
        })?;
        StoredKeys::parse(content).map_err(|error| Failure::from(error).at(format_args!("{self}: {field}")))
    }

    /// Reads the ConfigMap as well, so that a missing permission is told before any key changes. It need not exist yet.
    pub(super) fn open_copy(name: ObjectName) -> Result<Self, Failure> {
        let copy = Self::open(CONFIG_MAP, name)?;
        copy.read()?;
        Ok(copy)
    }

    /// Writes the current public keys to the ConfigMap.
    pub(super) fn follow(&self, place: &KeysPlace) -> Result<(), Failure> {
        // The ConfigMap is read before the keys: if another process publishes newer keys in between, the ConfigMap has
        // changed and this write is refused, so that old keys never replace new ones.
        let said = self.change(|found| {
            let jwks = public_set(place)?.into_bytes();
            Ok(if found == Some(&jwks[..]) { ("is up to date", None) } else { ("was written", Some(jwks)) })
        })?;
        print(format_args!("{self}: {} {said}", self.kind.field));
        Ok(())
    }
}

async fn client() -> Result<Client, Failure> {
    let mut config = Config::infer().await.map_err(|error| {
        Failure::usage(format_args!(
            "no cluster is configured: set KUBECONFIG, or have ~/.kube/config, or run this in a pod with \
             automountServiceAccountToken: true ({error})"
        ))
    })?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(ANSWER_TIMEOUT);
    config.write_timeout = Some(ANSWER_TIMEOUT);
    Client::try_from(config).map_err(|error| {
        Failure::usage(format_args!("the cluster's configuration cannot be used: {}", describe(&error)))
    })
}
