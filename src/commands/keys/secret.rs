//! Keys in a Kubernetes Secret.
//!
//! A Secret cannot be locked. A write names the version that was read (`resourceVersion`), and the API server refuses
//! it (409) if the Secret has changed since; then the command reads and decides again.
//!
//! The client's own copies of the keys are not wiped, because the process ends right after.

use std::fmt;

use k8s_openapi::{ByteString, api::core::v1};
use kube::core::ObjectMeta;
use zeroize::Zeroizing;

use super::{
    Failure,
    change::{Change, checked},
    cluster::{Object, Remote, Written},
    object_name::ObjectName,
};
use crate::keys::StoredKeys;

/// The file that a mounted Secret shows (`WXMINT_KEYS=…/keys.json`).
const FIELD: &str = "keys.json";

impl Object for v1::Secret {
    const KIND: &'static str = "secret";
}

/// The Secret of a set of private keys, which need not exist yet.
pub(super) struct Secret(Remote<v1::Secret>);

impl Secret {
    pub(super) fn open(name: ObjectName) -> Result<Self, Failure> {
        Remote::open(name).map(Self)
    }

    /// Whether the Secret is there and has the field.
    pub(super) fn exists(&self) -> Result<bool, Failure> {
        Ok(self.0.read()?.is_some_and(|secret| field(&secret).is_some()))
    }

    /// Creates the Secret, or adds the field to an existing one.
    pub(super) fn create(&self, keys: &StoredKeys) -> Result<(), Failure> {
        let content = keys.content();
        self.0.until_undisturbed(|| {
            let written = match self.0.read()? {
                None => self.0.create(&filled(self.empty(), &content))?,
                Some(secret) if field(&secret).is_none() => self.0.replace(&filled(secret, &content))?,
                Some(_) => {
                    return Err(Failure::Usage(format!("{self} has a field {FIELD} already; it was left as it is")));
                }
            };
            Ok((written == Written::Done).then_some(()))
        })
    }

    pub(super) fn read(&self) -> Result<StoredKeys, Failure> {
        self.read_with_keys().map(|(_, keys)| keys)
    }

    pub(super) fn change<T>(
        &self,
        mut decide: impl FnMut(&mut StoredKeys) -> Result<Change<T>, Failure>,
    ) -> Result<T, Failure> {
        let attempt = || {
            let (secret, mut keys) = self.read_with_keys()?;
            let outcome = match decide(&mut keys)? {
                Change::Keep(outcome) => return Ok(Some(outcome)),
                Change::Write(outcome) => outcome,
            };
            checked(&keys)?;
            let written = self.0.replace(&filled(secret, &keys.content()))?;
            Ok((written == Written::Done).then_some(outcome))
        };
        self.0.until_undisturbed(attempt)
    }

    fn read_with_keys(&self) -> Result<(v1::Secret, StoredKeys), Failure> {
        let make = || format!("make it with: wxmint keys generate --secret {}", self.0.name());
        let secret = self.0.read()?.ok_or_else(|| format!("{self} is not there; {}", make()))?;
        let content = field(&secret).ok_or_else(|| format!("{self} has no field {FIELD}; {}", make()))?;
        let keys =
            StoredKeys::parse(&content.0).map_err(|error| Failure::from(error).at(format_args!("{self}: {FIELD}")))?;
        Ok((secret, keys))
    }

    fn empty(&self) -> v1::Secret {
        let name = Some(self.0.name().name().to_owned());
        v1::Secret { metadata: ObjectMeta { name, ..ObjectMeta::default() }, ..v1::Secret::default() }
    }
}

/// Changes the field alone.
fn filled(mut secret: v1::Secret, content: &Zeroizing<Vec<u8>>) -> v1::Secret {
    secret.data.get_or_insert_default().insert(FIELD.into(), ByteString(content.to_vec()));
    secret
}

fn field(secret: &v1::Secret) -> Option<&ByteString> {
    secret.data.as_ref()?.get(FIELD)
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
