//! `wxmint keys`: the signing keys, in a file or in a Kubernetes Secret.

#[cfg(feature = "kubernetes")]
mod cluster;
mod life;
mod place;

use std::path::{Path, PathBuf};

use chrono::TimeDelta;
use clap::{Args, Subcommand};
use wxmint_ids::IdKey;
use wxmint_keys::{PrivateJwk, SIGNED_WITH, StoredKeys, rotation, rotation::CLOCK_SKEW};
use wxmint_verify::{Algorithm, PublicKeySet};

pub(super) use self::life::short_lead;
use self::place::KeysPlace;
pub(super) use self::place::{KeysPlaceArgs, checked};
use super::output::{json, print, say};
use super::{Failure, duration, key_line, span, variables};
use crate::clock::now;
use crate::secret_files::create_private;
use crate::settings::{KEY_PREPUBLISH, Reader, Role, TOKEN_TTL};

#[derive(Subcommand)]
pub(super) enum KeysCommand {
    /// Create a new set with one key, which signs from now on
    Generate {
        #[command(flatten)]
        place: KeysPlaceArgs,
        /// Nearly every verifier supports ES256; EdDSA is cheaper, but some do not support it; RS256 is slow. Default:
        /// ES256, and with --replace that of the last key
        #[arg(long, value_name = "ES256|EdDSA|RS256", value_parser = signing_algorithm)]
        alg: Option<Algorithm>,
        /// Do nothing if there is a set already
        #[arg(long)]
        if_missing: bool,
        /// For emergencies: revoke each key of the set that is there, which invalidates every token
        #[arg(long, conflicts_with = "if_missing")]
        replace: bool,
        /// Do not ask for confirmation
        #[arg(long, requires = "replace")]
        yes: bool,
    },
    /// Do what is due: publish the next key, remove expired ones; run it as often as you like
    Rotate {
        #[command(flatten)]
        place: KeysPlaceArgs,
        #[command(flatten)]
        policy: PolicyArgs,
        /// Publish the next key now, however long the last one has signed; it signs after the lead
        #[arg(long)]
        now: bool,
        /// Print what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// List the keys: the state of each, since when and until when
    List {
        #[command(flatten)]
        place: KeysPlaceArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// For emergencies: remove a key at once, which invalidates every token that it signed
    Retire {
        #[command(flatten)]
        place: KeysPlaceArgs,
        /// The key, as `keys list` shows it
        #[arg(allow_hyphen_values = true)]
        kid: String,
        /// Required, because a key that has not leaked is better left to `keys rotate`, which retires it when it is due
        #[arg(long)]
        now: bool,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
    /// Make an id key, with which WXMINT_USER_IDS=openid or unionid computes user ids; keep it for good
    IdKey {
        /// A new file
        #[arg(value_name = "PATH")]
        path: PathBuf,
    },
    /// Print the public keys as they are published (JWKS)
    Jwks {
        #[command(flatten)]
        place: KeysPlaceArgs,
    },
}

/// The rotation policy. The defaults come from the variables that `wxmint serve` reads.
#[derive(Args)]
pub(super) struct PolicyArgs {
    /// From one key's first signature to the next one's
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = duration)]
    every: TimeDelta,
    #[arg(long, value_name = "DURATION", value_parser = |text: &str| span(text, &KEY_PREPUBLISH))]
    #[arg(help = format!("How long a key is published before it signs; {}", KEY_PREPUBLISH.fallback()))]
    lead: Option<TimeDelta>,
    #[arg(long, value_name = "DURATION", value_parser = |text: &str| span(text, &TOKEN_TTL))]
    #[arg(help = format!("The longest life of a token; {}", TOKEN_TTL.fallback()))]
    token_ttl: Option<TimeDelta>,
    /// Algorithm of the next key; default: that of the last
    #[arg(long, value_name = "ES256|EdDSA|RS256", value_parser = signing_algorithm)]
    alg: Option<Algorithm>,
}

impl PolicyArgs {
    /// The policy of the options. A missing option is taken from its variable, or has that
    /// variable's default.
    fn policy(
        &self,
        keys: &StoredKeys,
        place: &KeysPlace,
    ) -> Result<rotation::RotationPolicy, Failure> {
        let set = keys
            .check()
            .map_err(|error| Failure::from(error).at(place))?;
        let last = set
            .lives
            .last()
            .map_or(Algorithm::Es256, |life| life.algorithm);
        let mut reader = Reader::new(Role::Issuer, variables());
        let mut read = |variable| {
            reader
                .read(variable)
                .and_then(|span| TimeDelta::from_std(span).ok())
        };
        let lead = self.lead.or_else(|| read(&KEY_PREPUBLISH));
        let token_ttl = self.token_ttl.or_else(|| read(&TOKEN_TTL));
        let (lead, token_ttl) = reader.finish(lead.zip(token_ttl))?;
        Ok(rotation::RotationPolicy {
            every: self.every,
            lead,
            token_ttl,
            algorithm: self.alg.unwrap_or(last),
        })
    }
}

pub(super) fn run(command: KeysCommand) -> Result<(), Failure> {
    match command {
        KeysCommand::Generate {
            place,
            alg,
            if_missing,
            replace,
            yes,
        } => {
            let place = place.open()?;
            if if_missing && place.exists()? {
                print(format_args!("{place}: there already, not changed"));
                return Ok(());
            }
            match replace {
                true => life::replace_all(&place, alg, yes),
                false => begin(
                    &place,
                    PrivateJwk::generate(alg.unwrap_or(Algorithm::Es256), now() - CLOCK_SKEW)?,
                ),
            }
        }
        KeysCommand::Rotate {
            place,
            policy,
            now,
            dry_run,
        } => life::rotate(&place.open()?, &policy, now, dry_run),
        KeysCommand::List { place, json } => life::list(&place.open()?, json),
        KeysCommand::Retire {
            place,
            kid,
            now,
            yes,
        } => life::retire(&place.open()?, &kid, now, yes),
        KeysCommand::IdKey { path } => make_id_key(&path),
        KeysCommand::Jwks { place } => {
            let place = place.open()?;
            let set = place
                .read()?
                .check()
                .map_err(|error| Failure::from(error).at(place))?;
            print(json(&set.visible(now()).collect::<PublicKeySet<'_>>()));
            Ok(())
        }
    }
}

fn make_id_key(path: &Path) -> Result<(), Failure> {
    let content = key_line();
    create_private(path, &content)?;
    let fingerprint = IdKey::parse(&content)
        .map(|key| key.fingerprint())
        .map_err(Failure::unfinished)?;
    print(format_args!(
        "{}: id key {fingerprint}. Keep a copy for good: without it everybody gets another user id.",
        path.display()
    ));
    Ok(())
}

fn signing_algorithm(text: &str) -> Result<Algorithm, &'static str> {
    SIGNED_WITH
        .into_iter()
        .find(|algorithm| algorithm.name() == text)
        .ok_or("must be ES256, EdDSA or RS256")
}

/// Creates a set with this first key.
fn begin(place: &KeysPlace, key: PrivateJwk) -> Result<(), Failure> {
    let keys = StoredKeys::of([key]);
    let set = checked(&keys)?;
    let rotation::KeyLife { kid, algorithm, .. } = &set.lives[0];
    place.create(&keys)?;
    print(format_args!(
        "{place}: {algorithm} key {kid}, signs from now on"
    ));
    Ok(())
}
