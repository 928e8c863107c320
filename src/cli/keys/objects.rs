//! Keys in a Kubernetes Secret, and the public set in a ConfigMap, for verifiers that mount it instead of fetching it.
//!
//! A Secret cannot be locked. A write names the version that was read (`resourceVersion`), and the API server refuses
//! it (409) if the Secret has changed since; then the command reads and decides again.
//!
//! The client's own copies of the keys are not wiped, because the process ends right after.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use wxmint_keys::StoredKeys;

use super::cluster::{ClusterObject, Remote};
use super::place::{KeysPlace, ObjectName};
use super::{Failure, print, public_set};

impl ClusterObject for Secret {
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

impl Remote<Secret> {
    pub(super) fn keys_of(&self, content: Option<&[u8]>) -> Result<StoredKeys, Failure> {
        let (name, field) = (&self.name, Secret::FIELD);
        let content = content.ok_or_else(|| {
            let make = format!("make it with: wxmint keys generate --secret {name}");
            Failure::usage(format_args!("{self} is not there, or has no field {field}; {make}"))
        })?;
        StoredKeys::parse(content).map_err(|error| Failure::from(error).at(format_args!("{self}: {field}")))
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

impl Remote<ConfigMap> {
    /// Reads the ConfigMap as well, so that a missing permission is told before any key changes. It need not exist yet.
    pub(super) fn open_copy(name: ObjectName) -> Result<Self, Failure> {
        let copy = Self::open(name)?;
        copy.read()?;
        Ok(copy)
    }

    /// Writes the current public keys to the ConfigMap.
    pub(super) fn follow(&self, place: &KeysPlace) -> Result<(), Failure> {
        // The ConfigMap is read before the keys: if another process publishes newer keys in between, the ConfigMap has
        // changed and this write is refused, so that old keys never replace new ones.
        let said = self.change(|found| {
            let jwks = public_set(place)?.into_bytes();
            Ok(match found == Some(&jwks[..]) {
                true => ("is up to date", None),
                false => ("was written", Some(jwks)),
            })
        })?;
        print(format_args!("{self}: {} {said}", ConfigMap::FIELD));
        Ok(())
    }
}
