//! The key set as it is stored in a file or a Secret, where commands change it.

use std::collections::BTreeMap;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::{
    KeySet, PrivateJwk, SigningKey,
    rotation::{Retirement, State, Step, Successor},
};
use crate::verify::KeyError;

/// A private JWK Set with all members. Every key has a `kid`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct StoredKeys {
    keys: Vec<PrivateJwk>,
}

impl StoredKeys {
    /// Parses `{"keys":[…]}`. An unusable key is an error: if it were left out, nobody could verify the tokens that it
    /// signed.
    pub fn parse(json: &[u8]) -> Result<Self, KeyError> {
        // Only the position is reported, because serde_json's message quotes the value, which may be a private member.
        let mut stored: Self = serde_json::from_slice(json)
            .map_err(|error| KeyError::Syntax(format!("line {}, column {}", error.line(), error.column())))?;
        for (index, key) in stored.keys.iter_mut().enumerate() {
            key.name_itself(index)?;
        }
        Ok(stored)
    }

    /// A set of one key.
    pub fn of(key: PrivateJwk) -> Self {
        Self { keys: vec![key] }
    }

    /// Checks the keys against each other and makes a [`KeySet`] of them.
    pub fn check(&self) -> Result<KeySet, KeyError> {
        let keys = self.keys.iter().enumerate().map(|(index, jwk)| SigningKey::from_jwk(jwk, index));
        KeySet::new(keys.collect::<Result<_, _>>()?)
    }

    /// The content of the key file.
    pub fn content(&self) -> Zeroizing<Vec<u8>> {
        Self::content_of(&self.keys)
    }

    pub(crate) fn content_of(keys: &[PrivateJwk]) -> Zeroizing<Vec<u8>> {
        let mut json =
            serde_json::to_vec_pretty(&BTreeMap::from([("keys", keys)])).expect("strings and numbers serialize");
        json.push(b'\n');
        Zeroizing::new(json)
    }

    pub fn add(&mut self, key: PrivateJwk) {
        self.keys.push(key);
    }

    /// Carries out a step of [`super::rotation::plan`].
    pub fn apply(&mut self, step: &Step) -> Result<(), KeyError> {
        self.keys.retain(|key| !step.drop.iter().any(|kid| key.kid() == kid));
        for (kid, exp) in &step.expire {
            self.keys.iter_mut().filter(|key| key.kid() == kid).for_each(|key| key.set_exp(Some(*exp)));
        }
        if let Some(new) = step.publish {
            self.keys.push(PrivateJwk::generate(new.algorithm, new.nbf)?);
        }
        Ok(())
    }

    /// Carries out an emergency retirement.
    pub fn retire(
        &mut self,
        kid: &str,
        retirement: &Retirement,
        algorithm: crate::verify::Algorithm,
    ) -> Result<(), KeyError> {
        self.keys.retain(|key| key.kid() != kid);
        if let Some(released) = &retirement.released {
            self.keys.iter_mut().filter(|key| key.kid() == released).for_each(|key| key.set_exp(None));
        }
        match &retirement.successor {
            Successor::Unchanged => {}
            Successor::Promoted(next) => {
                self.keys.iter_mut().filter(|key| key.kid() == next).for_each(|key| key.set_nbf(retirement.begins))
            }
            Successor::New => self.keys.push(PrivateJwk::generate(algorithm, retirement.begins)?),
        }
        debug_assert!(retirement.state == State::Signing || retirement.successor == Successor::Unchanged);
        Ok(())
    }
}
