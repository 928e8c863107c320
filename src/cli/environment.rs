//! The variables of the environment.

use std::env;

/// The environment, with what `.env` has added to it, without variables that are not UTF-8, which cannot be ours.
pub(crate) fn variables() -> impl Iterator<Item = (String, String)> {
    env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}
