//! The lines of the file of admin tokens: `NAME SECRET [RIGHTS]`, or `NAME issuer=… subject=… [RIGHTS]`.

use std::sync::Arc;

use aws_lc_rs::digest::{Digest, SHA256, digest};
use tokio::sync::Semaphore;
use wxmint_identities::{ServiceIdentity, take_members};

use super::tokens::{Holder, MOST_AT_ONCE, Right};
use crate::findings::Said;

/// A secret that is easier to guess is refused.
const SHORTEST: usize = 32;

/// The holder that a line names, and the hash of the secret.
pub(super) fn read_line(line: &str) -> Result<(Holder, Option<Digest>), Said> {
    let mut words: Vec<_> = line.split_whitespace().collect();
    let members = take_members(&mut words).ok_or_else(|| said!(must_be_name_blank_and_secret))?;
    let (name, secret, rights) = match (&words[..], members.is_empty()) {
        ([name, secret], true) => (*name, Some(*secret), "read"),
        ([name, secret, words], true) => (*name, Some(*secret), *words),
        ([name], false) => (*name, None, "read"),
        ([name, words], false) => (*name, None, *words),
        _ => return Err(said!(must_be_name_blank_and_secret)),
    };
    let right = |word: &str| Right::WORDS.into_iter().find(|(_, known)| *known == word).map(|(right, _)| right);
    let rights: Option<Vec<_>> = rights.split(',').map(right).collect();
    let rights = rights.ok_or_else(|| said!(rights_are_wrong))?;
    if name.len() > 64 || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.@".contains(&byte)) {
        return Err(said!(name_must_be_at_most_64));
    }
    // Other characters cannot stand in a bearer token (RFC 6750 section 2.1).
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if secret.is_some_and(|secret| secret.len() < SHORTEST || !secret.bytes().all(is_allowed)) {
        return Err(said!(secret_must_be_at_least_32));
    }
    let identity = secret.is_none().then(|| ServiceIdentity::read(&members)).transpose();
    let identity = identity.map_err(|(member, wrong)| (member, Said::from(wrong)));
    let identity = identity.map_err(|(member, wrong)| said!("`{}` {}", member, wrong))?;
    let room = Arc::new(Semaphore::new(MOST_AT_ONCE));
    let hash = secret.map(|secret| digest(&SHA256, secret.as_bytes()));
    Ok((Holder { name: name.to_owned(), identity, rights, room }, hash))
}
