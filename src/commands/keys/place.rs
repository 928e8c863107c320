//! Where keys are kept, and how they are changed there: read, decide, write, with nobody else in between.

use std::{
    fmt,
    path::{Path, PathBuf},
};

#[cfg(feature = "kubernetes")]
use super::secret::Secret;
use super::{PlaceArgs, object_name::ObjectName, variables};
use crate::{
    keys::{KeySet, StoredKeys},
    secret_files::{FileError, Held, MAKE_KEYS, create_private, read_private},
    settings::{read_one, variables::KEYS},
};

/// A place that holds a set of private keys.
pub(super) enum Place {
    File(PathBuf),
    #[cfg(feature = "kubernetes")]
    Secret(Box<Secret>),
}

/// What a decision about a set comes to.
pub(super) enum Change<T> {
    /// The set was changed, and is to be written.
    Write(T),
    /// Nothing was changed.
    Keep(T),
}

impl PlaceArgs {
    pub(super) fn open(self) -> Result<Place, String> {
        if let Some(name) = self.secret {
            return open_secret(name);
        }
        let named = self.keys.or_else(|| read_one(&KEYS, variables()).ok());
        named.map(Place::File).ok_or_else(|| "which keys? Add --keys keys.json, or set WXMINT_KEYS=keys.json".into())
    }
}

#[cfg(feature = "kubernetes")]
fn open_secret(name: ObjectName) -> Result<Place, String> {
    Secret::open(name).map(|secret| Place::Secret(Box::new(secret)))
}

#[cfg(not(feature = "kubernetes"))]
fn open_secret(_: ObjectName) -> Result<Place, String> {
    Err(super::WITHOUT_KUBERNETES.into())
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            #[cfg(feature = "kubernetes")]
            Self::Secret(secret) => secret.fmt(f),
        }
    }
}

impl Place {
    pub(super) fn exists(&self) -> Result<bool, String> {
        match self {
            Self::File(path) => path.try_exists().map_err(|error| format!("{self}: {error}")),
            #[cfg(feature = "kubernetes")]
            Self::Secret(secret) => secret.exists(),
        }
    }

    /// A new set; refused where there is one.
    pub(super) fn create(&self, keys: &StoredKeys) -> Result<(), String> {
        checked(keys)?;
        match self {
            Self::File(path) => create_private(path, &keys.content()).map_err(|error| match error {
                FileError::Exists(_) => format!("{error}; to change its keys, run: wxmint keys rotate"),
                _ => error.to_string(),
            }),
            #[cfg(feature = "kubernetes")]
            Self::Secret(secret) => secret.create(keys),
        }
    }

    pub(super) fn read(&self) -> Result<StoredKeys, String> {
        match self {
            Self::File(path) => read_file(path),
            #[cfg(feature = "kubernetes")]
            Self::Secret(secret) => secret.read(),
        }
    }

    /// The keys, if they fit each other.
    pub(super) fn read_set(&self) -> Result<KeySet, String> {
        self.read()?.check().map_err(|error| format!("{self}: {error}"))
    }

    /// Lets `decide` change the set. It is called again, with the set as it then is, where somebody else was quicker.
    pub(super) fn change<T>(
        &self,
        decide: impl FnMut(&mut StoredKeys) -> Result<Change<T>, String>,
    ) -> Result<T, String> {
        match self {
            Self::File(path) => change_file(path, decide),
            #[cfg(feature = "kubernetes")]
            Self::Secret(secret) => secret.change(decide),
        }
    }
}

fn change_file<T>(
    path: &Path,
    mut decide: impl FnMut(&mut StoredKeys) -> Result<Change<T>, String>,
) -> Result<T, String> {
    let held = Held::wait(path).map_err(|error| error.or_make(MAKE_KEYS))?;
    let mut keys = read_file(path)?;
    match decide(&mut keys)? {
        Change::Keep(outcome) => Ok(outcome),
        Change::Write(outcome) => {
            checked(&keys)?;
            held.replace(&keys.content()).map_err(|error| error.to_string())?;
            Ok(outcome)
        }
    }
}

fn read_file(path: &Path) -> Result<StoredKeys, String> {
    let content = read_private(path).map_err(|error| error.or_make(MAKE_KEYS))?;
    StoredKeys::parse(&content).map_err(|error| format!("{path}: {error}", path = path.display()))
}

/// What could not be used is never written.
pub(super) fn checked(keys: &StoredKeys) -> Result<KeySet, String> {
    let set = keys.check().map_err(|error| error.to_string())?;
    set.self_test().map_err(|error| error.to_string())?;
    Ok(set)
}
