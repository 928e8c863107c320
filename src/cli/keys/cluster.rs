//! Objects of a Kubernetes cluster. A write is refused if somebody else has written since the read.

use std::{fmt, thread, time::Duration};

use derive_more::Display;
use k8s_openapi::NamespaceResourceScope;
use kube::api::entry::{CommitError, Entry};
use kube::{Api, Client, Config, Error, Resource, api::PostParams};
use serde::{Serialize, de::DeserializeOwned};
use tokio::runtime::{self, Runtime};
use wxmint_upstream::describe;

use super::{Failure, place::ObjectName};
use crate::cli::random;

/// An API server that takes longer is out of order, because commands ask it a few times a minute at most.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// Each lost race means that another change was made, so many losses in a row are no accident.
const TRIES: u32 = 5;
/// The longest pause after a lost race, for each loss so far. It is random, so that two losers do not meet again.
const PAUSE_MILLIS: u64 = 100;
/// Bounds an answer that is not the API server's own, for example a proxy's page.
const LONGEST_MESSAGE: usize = 300;

/// One object, which need not exist.
#[derive(Display)]
#[display("{} {name}", K::KIND)]
pub(super) struct Remote<K: ClusterObject> {
    pub(super) name: ObjectName,
    api: Api<K>,
    runtime: Runtime,
}

/// An object of a namespace, as kube sees it.
pub(super) trait ClusterObject:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Default + DeserializeOwned + Serialize + fmt::Debug
{
    /// The name that `kubectl` uses.
    const KIND: &'static str;
    /// The only field that wxmint reads and changes.
    const FIELD: &'static str;

    fn field(&self) -> Option<&[u8]>;
    fn set_field(&mut self, content: &[u8]);
}

impl<K: ClusterObject> Remote<K> {
    /// Connects with the kubeconfig (`KUBECONFIG` or `~/.kube/config`), otherwise as the pod's service account.
    pub(super) fn open(name: ObjectName) -> Result<Self, Failure> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let client = runtime.block_on(client())?;
        let api = Api::namespaced(client, &name.namespace);
        Ok(Self { name, api, runtime })
    }

    /// The field; `None` if it or the object is missing.
    pub(super) fn read(&self) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.entry()?.get().and_then(K::field).map(<[u8]>::to_vec))
    }

    /// Lets `decide` see the field, and writes what `decide` returns beside its outcome, if anything. If somebody else
    /// has changed the object since it was read (`metadata.resourceVersion`), nothing is written, and `decide` sees the
    /// field anew.
    pub(super) fn change<T, C: AsRef<[u8]>>(
        &self,
        mut decide: impl FnMut(Option<&[u8]>) -> Result<(T, Option<C>), Failure>,
    ) -> Result<T, Failure> {
        for losses in 1..=TRIES {
            let entry = self.entry()?;
            let (outcome, content) = decide(entry.get().and_then(K::field))?;
            let Some(content) = content else { return Ok(outcome) };
            if self.write(entry, content.as_ref())? {
                return Ok(outcome);
            }
            thread::sleep(pause(losses));
        }
        Err(Failure::unfinished(format_args!(
            "{self}: somebody else changed it {TRIES} times while this command was deciding; nothing was written"
        )))
    }

    fn entry(&self) -> Result<Entry<'_, K>, Failure> {
        self.runtime.block_on(self.api.entry(&self.name.name)).map_err(|error| self.explain("get", &error))
    }

    /// Returns false if somebody else was quicker.
    fn write(&self, entry: Entry<'_, K>, content: &[u8]) -> Result<bool, Failure> {
        let is_new = entry.get().is_none();
        let mut object = entry.or_insert(K::default).and_modify(|object| object.set_field(content));
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
            Error::SerdeError(_) => format!("the answer of the API server is not a {}", K::KIND),
            other if verb == "get" => format!("the API server gave no answer: {}", describe(other)),
            other => format!(
                "the API server gave no answer, so the change may have been made or not; see `kubectl get {}`: {}",
                K::KIND,
                describe(other)
            ),
        };
        Failure::unfinished(format_args!("{self}: {reason}"))
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

fn pause(losses: u32) -> Duration {
    // Without random bits there is no pause, which is good enough.
    let byte = random::<1>().map_or(0, |byte| byte[0]);
    Duration::from_millis(u64::from(losses) * PAUSE_MILLIS * u64::from(byte) / 255)
}
