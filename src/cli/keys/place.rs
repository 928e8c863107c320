//! The places of signing keys. To change keys there means to read, decide and write while nobody
//! else can write.

use std::{path::PathBuf, str::FromStr};

use clap::Args;
use derive_more::Display;
use wxmint_keys::{KeySet, StoredKeys};
use zeroize::Zeroizing;

#[cfg(feature = "kubernetes")]
use super::cluster::{FIELD, KeysSecret};
use super::{Failure, variables};
use crate::findings::Message;
use crate::secret_files::{FileError, Held, MAKE_KEYS, create_private, read_private};
use crate::settings::{KEYS, read_one};

/// Checks a set before it is written: it must be usable.
pub(in crate::cli) fn checked(keys: &StoredKeys) -> Result<KeySet, Failure> {
    let set = keys.check()?;
    set.self_test()?;
    Ok(set)
}

#[derive(Display)]
pub(super) enum KeysPlace {
    #[display("{}", _0.display())]
    File(PathBuf),
    #[cfg(feature = "kubernetes")]
    Secret(Box<KeysSecret>),
}

#[derive(Args)]
pub(in crate::cli) struct KeysPlaceArgs {
    #[arg(long, value_name = "PATH", conflicts_with = "secret")]
    #[arg(help = format!("The private JWK Set; {}", KEYS.fallback()))]
    keys: Option<PathBuf>,
    /// A Kubernetes Secret, which holds the set under `keys.json`
    #[arg(long, value_name = "NAMESPACE/NAME")]
    secret: Option<ObjectName>,
}

impl KeysPlaceArgs {
    pub(super) fn open(self) -> Result<KeysPlace, Failure> {
        #[cfg(feature = "kubernetes")]
        if let Some(name) = self.secret {
            return KeysSecret::open(name).map(|secret| KeysPlace::Secret(Box::new(secret)));
        }
        #[cfg(not(feature = "kubernetes"))]
        if self.secret.is_some() {
            return Err(Failure::usage(
                "this wxmint was built without Kubernetes, to build sooner; build it with: \
                 cargo build --features kubernetes",
            ));
        }
        let named = self
            .keys
            .or_else(|| read_one(&KEYS, variables()).ok())
            .map(KeysPlace::File);
        named.ok_or_else(|| {
            Failure::usage("which keys? Add --keys keys.json, or set WXMINT_KEYS=keys.json")
        })
    }
}

impl KeysPlace {
    pub(super) fn exists(&self) -> Result<bool, Failure> {
        match self {
            Self::File(path) => path
                .try_exists()
                .map_err(|error| Failure::from(error).at(self)),
            #[cfg(feature = "kubernetes")]
            Self::Secret(secret) => Ok(secret.read()?.is_some()),
        }
    }

    /// Writes a new set, which must be [`checked`]. Fails if there is a set already.
    pub(super) fn create(&self, keys: &StoredKeys) -> Result<(), Failure> {
        match self {
            Self::File(path) => {
                create_private(path, &keys.content()).map_err(|error| match error {
                    FileError::Exists(_) => {
                        Failure::usage(message!(to_change_its_keys, Message::from(&error)))
                    }
                    error => Failure::of_file(MAKE_KEYS)(error),
                })
            }
            // Creates the Secret, or adds the field to an existing one.
            #[cfg(feature = "kubernetes")]
            Self::Secret(secret) => secret.change(|found| match found {
                None => Ok(((), Some(keys.content()))),
                Some(_) => Err(Failure::usage(format_args!(
                    "{self} has a field {FIELD} already; it is unchanged"
                ))),
            }),
        }
    }

    pub(super) fn read(&self) -> Result<StoredKeys, Failure> {
        match self {
            Self::File(path) => {
                let content = read_private(path).map_err(Failure::of_file(MAKE_KEYS))?;
                StoredKeys::parse(&content).map_err(|error| Failure::from(error).at(self))
            }
            #[cfg(feature = "kubernetes")]
            Self::Secret(secret) => secret.keys_of(secret.read()?.as_deref()),
        }
    }

    /// Lets `act` change the set. If somebody else changed it meanwhile, `act` is called again with the new set.
    pub(super) fn change<T>(
        &self,
        mut act: impl FnMut(&mut StoredKeys) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match self {
            Self::File(path) => {
                let held = Held::wait(path).map_err(Failure::of_file(MAKE_KEYS))?;
                let (outcome, changed) = change_keys(self.read()?, &mut act)?;
                changed
                    .map_or(Ok(()), |content| held.replace(&content))
                    .map_err(Failure::of_file(MAKE_KEYS))?;
                Ok(outcome)
            }
            #[cfg(feature = "kubernetes")]
            Self::Secret(secret) => {
                secret.change(|content| change_keys(secret.keys_of(content)?, &mut act))
            }
        }
    }
}

/// The outcome of a decision, and the content to write; `None` if nothing has changed.
pub(super) type Decided<T> = (T, Option<Zeroizing<Vec<u8>>>);

fn change_keys<T>(
    mut keys: StoredKeys,
    act: &mut impl FnMut(&mut StoredKeys) -> Result<T, Failure>,
) -> Result<Decided<T>, Failure> {
    let before = keys.content();
    let outcome = act(&mut keys)?;
    let after = keys.content();
    if after == before {
        return Ok((outcome, None));
    }
    checked(&keys)?;
    Ok((outcome, Some(after)))
}

#[derive(Debug, Display, Clone, PartialEq, Eq)]
#[display("{namespace}/{name}")]
pub(super) struct ObjectName {
    pub(super) namespace: String,
    pub(super) name: String,
}

impl FromStr for ObjectName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let both = text
            .split_once('/')
            .filter(|(namespace, name)| is_name(namespace) && is_name(name));
        let (namespace, name) = both.ok_or("must be NAMESPACE/NAME, such as wxmint/wxmint-keys")?;
        Ok(Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }
}

/// Checks the characters of a DNS subdomain, so that a name cannot change the URL's path. The server checks the rest.
fn is_name(text: &str) -> bool {
    let known =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_alphanumeric()) && text.bytes().all(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_place_in_a_path() {
        for good in ["wxmint/wxmint-keys", "a/b.c", "1/2"] {
            assert_eq!(
                good.parse::<ObjectName>().expect("a name").to_string(),
                good
            );
        }
        for bad in [
            "",
            "wxmint",
            "/keys",
            "wxmint/",
            "wxmint/../x",
            "a/b/c",
            "a/b?x",
            "A/b",
            "a/.b",
            "a/b%2f",
        ] {
            assert!(bad.parse::<ObjectName>().is_err(), "{bad}");
        }
    }
}
