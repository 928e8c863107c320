//! The lines of the file of admin tokens: `NAME SECRET [RIGHTS]`, or `NAME issuer=… subject=… [RIGHTS]`.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use tokio::sync::Semaphore;
use wxmint_identities::{ServiceIdentity, take_members};

use super::tokens::{Holder, MOST_AT_ONCE, Right};
use crate::findings::Said;

/// A secret that is easier to guess is refused.
const SHORTEST: usize = 32;

/// Reads the holder that a line names.
pub(super) fn read_line(line: &str) -> Result<Holder, Said> {
    let no_words = || said!(must_be_name_blank_and_secret);
    let mut words: Vec<_> = line.split_whitespace().collect();
    let members = take_members(&mut words).ok_or_else(no_words)?;
    let (name, secret, rights) = match (&words[..], members.is_empty()) {
        ([name, secret, rights @ ..], true) => (*name, Some(*secret), rights),
        ([name, rights @ ..], false) => (*name, None, rights),
        _ => return Err(no_words()),
    };
    let right = |word: &str| Right::WORDS.into_iter().find(|(_, known)| *known == word).map(|(right, _)| right);
    let rights: Option<Vec<_>> = match rights {
        [] => Some(vec![Right::Read]),
        [words] => words.split(',').map(right).collect(),
        _ => return Err(no_words()),
    };
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
    let sha256 = secret.and_then(|secret| digest(&SHA256, secret.as_bytes()).as_ref().try_into().ok());
    Ok(Holder { name: name.to_owned(), sha256, identity, rights, room: Arc::new(Semaphore::new(MOST_AT_ONCE)) })
}
