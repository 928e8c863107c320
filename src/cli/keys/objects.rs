//! Keys in a Kubernetes Secret, and the public set in a ConfigMap, for peers that mount it instead of fetching it.
//!
//! A Secret cannot be locked. A write names the version that was read (`resourceVersion`), and the API server refuses
//! it (409) if the Secret has changed since; then the command reads and decides again.
//!
//! The client's own copies of the keys are not wiped, because the process ends right after.

use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret},
};

use super::{
    Failure,
    cluster::{ClusterObject, Remote},
    place::{KeysPlace, ObjectName, change_keys},
    print, public_set,
};
use crate::keys::StoredKeys;

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
    /// Whether the Secret is there and has the field.
    pub(super) fn has_keys(&self) -> Result<bool, Failure> {
        Ok(self.read()?.is_some_and(|secret| secret.field().is_some()))
    }

    /// Creates the Secret, or adds the field to an existing one.
    pub(super) fn create_keys(&self, keys: &StoredKeys) -> Result<(), Failure> {
        let content = keys.content();
        self.until_undisturbed(|| {
            let found = self.read()?;
            match found.as_ref().and_then(ClusterObject::field) {
                Some(_) => {
                    let field = Secret::FIELD;
                    Err(Failure::usage(format_args!("{self} has a field {field} already; it was left as it is")))
                }
                None => Ok(self.write(found, &content)?.then_some(())),
            }
        })
    }

    pub(super) fn change_keys<T>(
        &self,
        mut decide: impl FnMut(&mut StoredKeys) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.until_undisturbed(|| {
            let (secret, keys) = self.read_keys()?;
            let (outcome, changed) = change_keys(keys, &mut decide)?;
            let done = changed.map_or(Ok(true), |keys| self.write(Some(secret), &keys.content()))?;
            Ok(done.then_some(outcome))
        })
    }

    /// Returns the Secret as well, to write to it.
    pub(super) fn read_keys(&self) -> Result<(Secret, StoredKeys), Failure> {
        let (name, field) = (&self.name, Secret::FIELD);
        let lacking =
            |what| Failure::usage(format_args!("{self} {what}; make it with: wxmint keys generate --secret {name}"));
        let secret = self.read()?.ok_or_else(|| lacking("is not there".to_owned()))?;
        let content = secret.field().ok_or_else(|| lacking(format!("has no field {field}")))?;
        let keys =
            StoredKeys::parse(content).map_err(|error| Failure::from(error).at(format_args!("{self}: {field}")))?;
        Ok((secret, keys))
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
        let said = self.until_undisturbed(|| self.try_to_follow(place))?;
        print(format_args!("{self}: {} {said}", ConfigMap::FIELD));
        Ok(())
    }

    fn try_to_follow(&self, place: &KeysPlace) -> Result<Option<&'static str>, Failure> {
        // The ConfigMap is read before the keys: if another process publishes newer keys in between, the ConfigMap has
        // changed and this write is refused, so that old keys never replace new ones.
        let found = self.read()?;
        let jwks = public_set(place)?;
        if found.as_ref().and_then(ClusterObject::field) == Some(jwks.as_bytes()) {
            return Ok(Some("is up to date"));
        }
        Ok(self.write(found, jwks.as_bytes())?.then_some("was written"))
    }
}
