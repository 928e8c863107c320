//! Keys in a Kubernetes Secret.
//!
//! A Secret cannot be locked. A write names the version that was read (`resourceVersion`), and the API server refuses
//! it (409) if the Secret has changed since; then the command reads and decides again.
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

use super::Failure;
use super::place::{Decided, ObjectName};

/// How long an API server may take. A slower server is broken, because commands call it a few times
/// a minute at most.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// How often a write is tried. Each lost race means that another write was made: of several that
/// race, one always wins, even without a pause. This many losses in a row are no accident.
const TRIES: u32 = 5;
/// The most characters of an error message that are shown, because the answer may be a proxy's
/// page.
const LONGEST_MESSAGE: usize = 300;

/// The only field of the Secret that wxmint reads and changes. A mounted Secret shows it as a file
/// (`WXMINT_KEYS=…/keys.json`).
pub(super) const FIELD: &str = "keys.json";

/// A Kubernetes Secret. It need not exist.
#[derive(Display)]
#[display("secret {name}")]
pub(super) struct KeysSecret {
    name: ObjectName,
    resource: ApiResource,
    api: Api<DynamicObject>,
    runtime: Runtime,
}

impl KeysSecret {
    /// Connects with the kubeconfig (`KUBECONFIG` or `~/.kube/config`), otherwise as the pod's service account.
    pub(super) fn open(name: ObjectName) -> Result<Self, Failure> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Secret"));
        let api = Api::namespaced_with(runtime.block_on(client())?, &name.namespace, &resource);
        Ok(Self {
            name,
            resource,
            api,
            runtime,
        })
    }

    /// The field; `None` if it or the Secret is missing.
    pub(super) fn read(&self) -> Result<Option<Vec<u8>>, Failure> {
        Ok(content(&self.entry()?))
    }

    /// Calls `decide` with the field, and writes the content that `decide` returns beside its
    /// outcome, if any. If somebody else has changed the Secret since it was read
    /// (`metadata.resourceVersion`), writes nothing and calls `decide` again with the new field.
    pub(super) fn change<T>(
        &self,
        mut decide: impl FnMut(Option<&[u8]>) -> Result<Decided<T>, Failure>,
    ) -> Result<T, Failure> {
        for _ in 0..TRIES {
            let entry = self.entry()?;
            let (outcome, changed) = decide(content(&entry).as_deref())?;
            let Some(changed) = changed else {
                return Ok(outcome);
            };
            if self.write(entry, &changed)? {
                return Ok(outcome);
            }
        }
        Err(Failure::unfinished(format_args!(
            "{self}: somebody else changed it {TRIES} times while this command was deciding; nothing was written"
        )))
    }

    fn entry(&self) -> Result<Entry<'_, DynamicObject>, Failure> {
        self.runtime
            .block_on(self.api.entry(&self.name.name))
            .map_err(|error| self.explain("get", &error))
    }

    /// Writes the field. Returns false if somebody else has changed the Secret meanwhile.
    fn write(&self, entry: Entry<'_, DynamicObject>, content: &[u8]) -> Result<bool, Failure> {
        let is_new = entry.get().is_none();
        let mut object = entry.or_insert(|| DynamicObject::new(&self.name.name, &self.resource));
        object.get_mut().data["data"][FIELD] = STANDARD.encode(content).into();
        match self.runtime.block_on(object.commit(&PostParams::default())) {
            Ok(()) => Ok(true),
            Err(CommitError::Save(Error::Api(status))) if status.is_already_exists() => Ok(false),
            Err(CommitError::Save(Error::Api(status)))
                if !is_new && [404, 409].contains(&status.code) =>
            {
                Ok(false)
            }
            Err(CommitError::Save(error)) => {
                Err(self.explain(if is_new { "create" } else { "update" }, &error))
            }
            Err(CommitError::Validate(error)) => {
                Err(Failure::unfinished(format_args!("{self}: {error}")))
            }
        }
    }

    fn explain(&self, verb: &str, error: &Error) -> Failure {
        let reason = match error {
            // The message names the verb, the resource and the namespace of a missing permission.
            Error::Api(status) => {
                let said: String = status.message.chars().take(LONGEST_MESSAGE).collect();
                format!(
                    "the API server refused to {verb} it ({}): {said}",
                    status.code
                )
            }
            // The error's text can quote the answer, which may be a key.
            Error::SerdeError(_) => "the answer of the API server is not a secret".into(),
            other if verb == "get" => format!("the API server gave no answer: {}", describe(other)),
            other => format!(
                "the API server gave no answer, so the change may have been made or not; see `kubectl get secret`: {}",
                describe(other)
            ),
        };
        Failure::unfinished(format_args!("{self}: {reason}"))
    }

    pub(super) fn keys_of(&self, content: Option<&[u8]>) -> Result<StoredKeys, Failure> {
        let content = content.ok_or_else(|| {
            let make = format!("make it with: wxmint keys generate --secret {}", self.name);
            Failure::usage(format_args!(
                "{self} is not there, or has no field {FIELD}; {make}"
            ))
        })?;
        StoredKeys::parse(content)
            .map_err(|error| Failure::from(error).at(format_args!("{self}: {FIELD}")))
    }
}

/// The decoded field of the Secret.
fn content(entry: &Entry<'_, DynamicObject>) -> Option<Vec<u8>> {
    STANDARD
        .decode(entry.get()?.data["data"][FIELD].as_str()?)
        .ok()
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
        Failure::usage(format_args!(
            "the cluster's configuration cannot be used: {}",
            describe(&error)
        ))
    })
}
