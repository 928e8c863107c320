//! Keys in a Kubernetes Secret, and the public set in a ConfigMap, for peers that mount it instead of fetching it.
//!
//! A Secret cannot be locked. A write names the version that was read (`resourceVersion`), and the API server refuses
//! it (409) if the Secret has changed since; then the command reads and decides again.
//!
//! The client's own copies of the keys are not wiped, because the process ends right after.

use std::fmt;

use k8s_openapi::{
    ByteString,
    api::core::v1::{self, ConfigMap},
};

use super::{
    Failure,
    cluster::{ClusterObject, Remote},
    place::{Change, KeysPlace, ObjectName, checked},
    print, public_set,
};
use crate::keys::StoredKeys;

impl ClusterObject for v1::Secret {
    const KIND: &'static str = "secret";
    /// The file that a mounted Secret shows (`WXMINT_KEYS=…/keys.json`).
    const FIELD: &'static str = "keys.json";

    fn field(&self) -> Option<&[u8]> {
        Some(&self.data.as_ref()?.get(Self::FIELD)?.0)
    }

    fn set_field(&mut self, content: &[u8]) {
        self.data.get_or_insert_default().insert(Self::FIELD.into(), ByteString(content.to_vec()));
    }
}

/// The Secret of a set of private keys, which need not exist yet.
pub(super) struct Secret(Remote<v1::Secret>);

impl Secret {
    pub(super) fn open(name: ObjectName) -> Result<Self, Failure> {
        Remote::open(name).map(Self)
    }

    /// Whether the Secret is there and has the field.
    pub(super) fn exists(&self) -> Result<bool, Failure> {
        Ok(self.0.read()?.is_some_and(|secret| secret.field().is_some()))
    }

    /// Creates the Secret, or adds the field to an existing one.
    pub(super) fn create(&self, keys: &StoredKeys) -> Result<(), Failure> {
        let content = keys.content();
        self.0.until_undisturbed(|| {
            let found = self.0.read()?;
            match found.as_ref().and_then(ClusterObject::field) {
                Some(_) => {
                    Err(format!("{self} has a field {} already; it was left as it is", v1::Secret::FIELD).into())
                }
                None => Ok(self.0.write(found, &content)?.then_some(())),
            }
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
            Ok(self.0.write(Some(secret), &keys.content())?.then_some(outcome))
        };
        self.0.until_undisturbed(attempt)
    }

    fn read_with_keys(&self) -> Result<(v1::Secret, StoredKeys), Failure> {
        let (place, field) = (self.0.name(), v1::Secret::FIELD);
        let make = || format!("make it with: wxmint keys generate --secret {place}");
        let secret = self.0.read()?.ok_or_else(|| format!("{self} is not there; {}", make()))?;
        let content = secret.field().ok_or_else(|| format!("{self} has no field {field}; {}", make()))?;
        let keys =
            StoredKeys::parse(content).map_err(|error| Failure::from(error).at(format_args!("{self}: {field}")))?;
        Ok((secret, keys))
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ClusterObject for ConfigMap {
    const KIND: &'static str = "configmap";
    /// The file that peers see.
    const FIELD: &'static str = "jwks.json";

    fn field(&self) -> Option<&[u8]> {
        Some(self.data.as_ref()?.get(Self::FIELD)?.as_bytes())
    }

    fn set_field(&mut self, content: &[u8]) {
        let text = String::from_utf8_lossy(content).into_owned();
        self.data.get_or_insert_default().insert(Self::FIELD.into(), text);
    }
}

/// The ConfigMap of the public set, which need not exist yet.
pub(super) struct PublicCopy(Remote<ConfigMap>);

impl PublicCopy {
    /// Reads the ConfigMap as well, so that a missing permission is told before any key changes.
    pub(super) fn open(name: ObjectName) -> Result<Self, Failure> {
        let remote = Remote::open(name)?;
        remote.read()?;
        Ok(Self(remote))
    }

    /// Writes the current public keys to the ConfigMap.
    pub(super) fn follow(&self, place: &KeysPlace) -> Result<(), Failure> {
        let said = self.0.until_undisturbed(|| self.try_to_follow(place))?;
        print(format_args!("{}: {} {said}", self.0, ConfigMap::FIELD));
        Ok(())
    }

    fn try_to_follow(&self, place: &KeysPlace) -> Result<Option<&'static str>, Failure> {
        // The ConfigMap is read before the keys: if another process publishes newer keys in between, the ConfigMap has
        // changed and this write is refused, so that old keys never replace new ones.
        let found = self.0.read()?;
        let jwks = public_set(place)?;
        if found.as_ref().and_then(ClusterObject::field) == Some(jwks.as_bytes()) {
            return Ok(Some("is up to date"));
        }
        Ok(self.0.write(found, jwks.as_bytes())?.then_some("was written"))
    }
}
