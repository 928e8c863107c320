//! The public set in a ConfigMap, for peers that mount it instead of fetching it.

use k8s_openapi::api::core::v1::ConfigMap;

use super::{
    Failure,
    cluster::{Object, Remote},
    object_name::ObjectName,
    place::Place,
    print, public_set,
};

impl Object for ConfigMap {
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
    pub(super) fn follow(&self, place: &Place) -> Result<(), Failure> {
        let said = self.0.until_undisturbed(|| self.try_to_follow(place))?;
        print(format_args!("{}: {} {said}", self.0, ConfigMap::FIELD));
        Ok(())
    }

    fn try_to_follow(&self, place: &Place) -> Result<Option<&'static str>, Failure> {
        // The ConfigMap is read before the keys: if another process publishes newer keys in between, the ConfigMap has
        // changed and this write is refused, so that old keys never replace new ones.
        let found = self.0.read()?;
        let jwks = public_set(place)?;
        if found.as_ref().and_then(Object::field) == Some(jwks.as_bytes()) {
            return Ok(Some("is up to date"));
        }
        Ok(self.0.write(found, jwks.as_bytes())?.then_some("was written"))
    }
}
