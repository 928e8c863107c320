//! `wxmint bindings`

mod export;
mod file;
mod import;
mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Subcommand;
use wxmint_http::run_to_end;
use wxmint_ids::Person;
use wxmint_store::{BindingState, Bound, Redis};

use self::import::ImportArgs;
use super::Failure;
use super::at_redis::{audited, check, noted, open, patiently, walk_all};
use super::output::{Progress, json, print, say, table};

#[derive(Subcommand)]
pub(super) enum BindingsCommand {
    /// Write all bindings as NDJSON
    Export {
        /// A new file, which only its owner can read; default: standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Make the bindings that a file lists; a person who is bound to another user keeps that binding. May be run again
    Import(ImportArgs),
    /// List the people who are bound to one user although their unionid belongs to another
    Conflicts {
        /// As NDJSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(command: BindingsCommand) -> Result<(), Failure> {
    let is_import = matches!(command, BindingsCommand::Import(_));
    let act = async |redis: &Redis| {
        check(redis).await?;
        match command {
            BindingsCommand::Export { out } => export::run(redis, out.as_deref()).await,
            BindingsCommand::Import(args) => import::run(redis, &args).await,
            BindingsCommand::Conflicts { json } => conflicts(redis, json).await,
        }
    };
    if is_import { audited(async |operator| act(operator.store).await) } else { run_to_end(act(&open()?)) }
}

const ADVICE: &str = "Each of these people is bound to one user, and their unionid belongs to another. Both users \
    stay and can log in; in a new app the person becomes the second one. To make them one: merge the users in your own \
    system, let the person end the binding (DELETE /binding), then import a line that binds the person to the other \
    user (docs/user-ids.md).";

const COLUMNS: [&str; 5] = ["appid", "openid", "user_id", "unionid", "unionid_stands_for"];

/// A person whose unionid belongs to another user, column by column.
type Conflict = [String; COLUMNS.len()];

async fn conflicts(redis: &Redis, as_json: bool) -> Result<(), Failure> {
    // By app and openid.
    let mut conflicts = BTreeSet::new();
    let add = async |(person, state)| {
        if let BindingState::Bound(bound) = state {
            conflicts.extend(conflict_of(redis, person, bound).await?);
        }
        Ok(())
    };
    walk_all(async |from| redis.walk(from).await, add).await?;
    if conflicts.is_empty() {
        say("no conflicts");
    } else if as_json {
        let named = |conflict: Conflict| COLUMNS.into_iter().zip(conflict).collect::<BTreeMap<_, _>>();
        conflicts.into_iter().map(|conflict| json(&named(conflict))).for_each(print);
    } else {
        table(COLUMNS, conflicts.into_iter()).into_iter().for_each(print);
        say(ADVICE);
    }
    Ok(())
}

/// Reads again whose the unionid is, because the conflict may have been resolved since the person's last login.
async fn conflict_of(redis: &Redis, person: Person, bound: Bound) -> Result<Option<Conflict>, Failure> {
    let Bound { user, unionid: Some(unionid), conflict: Some(_), .. } = bound else { return Ok(None) };
    let stands_for = patiently(async || redis.claim_unionid(&unionid, None).await).await?;
    let [openid, unionid] = [person.openid.as_str(), unionid.as_str()].map(str::to_owned);
    let other = stands_for.filter(|other| *other != user);
    Ok(other.map(|other| [person.app.to_string(), openid, user.to_string(), unionid, other.to_string()]))
}
