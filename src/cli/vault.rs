//! `wxmint vault`: the keys that seal session keys.

use std::path::PathBuf;

use chrono::TimeDelta;
use clap::Subcommand;
use wxmint_keys::vault::{Vault, with_new_key};
use wxmint_keys::{random, rotation::whole_second};

use super::output::{print, say};
use super::{Failure, span, variables};
use crate::clock::{date, now};
use crate::findings::{Message, cure_of_vault};
use crate::secret_files::{Held, MAKE_VAULT_KEY, read_private};
use crate::settings::{KEY_PREPUBLISH, VAULT_KEY_FILE, read_one};

const NEXT: &str = "Every replica reads the file by itself; if it is in a Kubernetes Secret, update the Secret. Keep \
    the other lines, which decrypt what they encrypted. They may be removed once WXMINT_SESSION_KEY_TTL (30d, unless you \
    have set it) and 10 minutes have passed since that time.";

#[derive(Subcommand)]
pub(super) enum VaultCommand {
    /// Add a new key as the first line of the file; it decrypts at once, and encrypts once every replica has read it
    Rotate {
        #[arg(long, value_name = "PATH", help = format!("The vault key file; {}", VAULT_KEY_FILE.fallback()))]
        vault_key_file: Option<PathBuf>,
        /// How long the file may take to reach every replica; after that the key encrypts
        #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = |text: &str| span(text, &KEY_PREPUBLISH))]
        lead: TimeDelta,
    },
}

/// Runs the command. It is idempotent, because no key is made while another new key waits.
pub(super) fn run(command: VaultCommand) -> Result<(), Failure> {
    let VaultCommand::Rotate {
        vault_key_file,
        lead,
    } = command;
    let path = &match vault_key_file {
        Some(path) => path,
        None => read_one(&VAULT_KEY_FILE, variables())?,
    };
    let unusable = Failure::of_file(MAKE_VAULT_KEY);
    let unfit = |error| {
        Failure::usage(Message::from_iter([
            Message::from(&error),
            cure_of_vault(&error),
        ]))
        .at(path.display())
    };
    let held = Held::wait(path).map_err(&unusable)?;
    let content = read_private(path).map_err(&unusable)?;
    if let Some(from) = Vault::parse(&content)
        .map_err(unfit)?
        .at(now())
        .changes_at()
    {
        print(format_args!(
            "{}: a new key waits already, and seals from {}",
            path.display(),
            date(from)
        ));
        return Ok(());
    }
    let from = whole_second(now() + lead);
    let anew = with_new_key(&content, &random(), from).map_err(unfit)?;
    held.replace(&anew).map_err(&unusable)?;
    print(format_args!(
        "{}: line 1 is a new key, which seals from {}",
        path.display(),
        date(from)
    ));
    say(NEXT);
    Ok(())
}
