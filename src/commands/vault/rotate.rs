//! `wxmint vault rotate`

use std::{path::Path, time::Duration};

use aws_lc_rs::rand;
use chrono::TimeDelta;
use zeroize::Zeroizing;

use super::{Failure, date, now, print, read, say, unfit, unusable};
use crate::{keys::rotation::whole_second, secret_files::Held, vault::with_new_key};

const NEXT: &str = "Every replica reads the file by itself; if it is in a Kubernetes Secret, update the Secret. Keep \
    the other lines, which decrypt what they encrypted; `wxmint vault list` shows when they may be removed.";

/// Running it twice is the same as once, because no key is made while another one waits.
pub(super) fn run(path: &Path, lead: Duration) -> Result<(), Failure> {
    let held = Held::wait(path).map_err(unusable)?;
    let (content, vault) = read(path)?;
    if let Some(from) = vault.changes_at() {
        print(format_args!("{}: a new key waits already, and seals from {}", path.display(), date(from)));
        return Ok(());
    }
    let lead = TimeDelta::from_std(lead).map_err(|error| Failure::Usage(format!("--lead: {error}")))?;
    let from = whole_second(now() + lead);
    let mut key = Zeroizing::new([0; 32]);
    rand::fill(&mut *key).map_err(|_| Failure::Unfinished("the system gave no random bits".into()))?;
    let anew = with_new_key(&content, &key, from).map_err(|error| unfit(path, error))?;
    held.replace(&anew).map_err(unusable)?;
    print(format_args!("{}: line 1 is a new key, which seals from {}", path.display(), date(from)));
    say(NEXT);
    Ok(())
}
