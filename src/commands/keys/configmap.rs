//! The public set in a ConfigMap, for peers that mount it instead of fetching it.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::ObjectMeta;

use super::{
    Failure,
    cluster::{Object, Remote, Written},
    object_name::ObjectName,
    place::Place,
    print, public_set,
};

/// The file that peers see.
const FIELD: &str = "jwks.json";

impl Object for ConfigMap {
    const KIND: &'static str = "configmap";
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
        print(format_args!("{}: {FIELD} {said}", self.0));
        Ok(())
    }

    fn try_to_follow(&self, place: &Place) -> Result<Option<&'static str>, Failure> {
        // The ConfigMap is read before the keys: if another process publishes newer keys in between, the ConfigMap has
        // changed and this write is refused, so that old keys never replace new ones.
        let found = self.0.read()?;
        let jwks = public_set(place)?;
        if found.as_ref().is_some_and(|found| held(found) == Some(&jwks)) {
            return Ok(Some("is up to date"));
        }
        let written = match found {
            Some(found) => self.0.replace(&filled(found, jwks))?,
            None => self.0.create(&filled(empty(self.0.name()), jwks))?,
        };
        Ok((written == Written::Done).then_some("was written"))
    }
}

fn held(map: &ConfigMap) -> Option<&String> {
    map.data.as_ref()?.get(FIELD)
}

fn empty(name: &ObjectName) -> ConfigMap {
    let name = Some(name.name().to_owned());
    ConfigMap { metadata: ObjectMeta { name, ..ObjectMeta::default() }, ..ConfigMap::default() }
}

fn filled(mut map: ConfigMap, jwks: String) -> ConfigMap {
    map.data.get_or_insert_default().insert(FIELD.into(), jwks);
    map
}
