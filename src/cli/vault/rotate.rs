//! `wxmint vault rotate`

use std::{path::Path, time::Duration};

use aws_lc_rs::rand;
use chrono::TimeDelta;
use zeroize::Zeroizing;

use super::{Failure, date, print, say};
use crate::{
    http::now,
    keys::rotation::whole_second,
    secret_files::{FileError, Held, MAKE_VAULT_KEY, read_private},
    vault::{Vault, VaultError, with_new_key},
};

const NEXT: &str = "Every replica reads the file by itself; if it is in a Kubernetes Secret, update the Secret. Keep \
    the other lines, which decrypt what they encrypted. They may be removed once WXMINT_SESSION_KEY_TTL (30d, unless you \
    have set it) and 10 minutes have passed since that time.";

/// Running it twice is the same as once, because no key is made while another one waits.
pub(super) fn run(path: &Path, lead: Duration) -> Result<(), Failure> {
    let unusable = |error: FileError| Failure::of_file(error, MAKE_VAULT_KEY);
    let unfit = |error: VaultError| Failure::Usage(format!("{}: {error}", path.display()));
    let held = Held::wait(path).map_err(unusable)?;
    let content = read_private(path).map_err(unusable)?;
    let vault = Vault::parse(&content).map_err(unfit)?.at(now());
    if let Some(from) = vault.changes_at() {
        print(format_args!("{}: a new key waits already, and seals from {}", path.display(), date(from)));
        return Ok(());
    }
    let lead = TimeDelta::from_std(lead).map_err(|error| Failure::Usage(format!("--lead: {error}")))?;
    let from = whole_second(now() + lead);
    let mut key = Zeroizing::new([0; 32]);
    rand::fill(&mut *key).map_err(|_| Failure::Unfinished("the system gave no random bits".into()))?;
    let anew = with_new_key(&content, &key, from).map_err(unfit)?;
    held.replace(&anew).map_err(unusable)?;
    print(format_args!("{}: line 1 is a new key, which seals from {}", path.display(), date(from)));
    say(NEXT);
    Ok(())
}
