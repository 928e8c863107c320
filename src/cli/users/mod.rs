//! `wxmint users`

mod operate;
mod password;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use wxmint_ids::{UserId, foreign_id};

use super::keys::{self, KeysCommand, KeysPlaceArgs};
use super::output::{ask_hidden, print, say};
use super::{Failure, variables};
use crate::accounts::{ClaimsColumn, InvalidCredential, StoredHash, User, Username, UsersFile, fresh_user};
use crate::clock::now;
use crate::secret_files::{FileError, Held, MAKE_USERS, read_private};
use crate::settings::{AccountsSource, read_one, variables::ACCOUNTS};

const HEADING: &[u8] =
    b"# Users of wxmint: name, password hash, user id, claims. `!` before the hash: disabled. See: wxmint users --help\n";

#[derive(Subcommand)]
pub(super) enum UsersCommand {
    /// Add a user; asks for the password, or reads it from a line of standard input
    Add {
        #[command(flatten)]
        place: UsersFileArgs,
        /// The name that the user types to log in
        #[arg(value_parser = name)]
        name: Username,
        /// Your own id of the user, the `sub` of the tokens; default: a new one
        #[arg(long, value_name = "ID", value_parser = foreign_id::<UserId>)]
        user_id: Option<UserId>,
        /// Claims of the user's tokens, such as 'roles=a,b;tenant=x'; roles is a list, all others are texts
        #[arg(long)]
        claims: Option<ClaimsColumn>,
        /// Give an existing user another password
        #[arg(long)]
        replace: bool,
    },
    /// Set the claims of a user's tokens, from the next login on
    Claims {
        #[command(flatten)]
        user: OneUser,
        /// Such as 'roles=a,b;tenant=x'; '' removes them
        claims: ClaimsColumn,
    },
    /// Remove a user from the file; the user cannot log in any more
    Remove(OneUser),
    /// List the users: name, user id, whether the user may log in, and claims
    List {
        #[command(flatten)]
        place: UsersFileArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Refuse a user's logins, by password and by WeChat
    Disable(OneUser),
    /// Let a user log in again
    Enable(OneUser),
    /// End all tokens of a user, whatever account backend knows the user; in the Redis of WXMINT_REDIS_URL, like the
    /// next six
    End {
        /// The user id, the `sub` of the tokens
        #[arg(value_name = "USER_ID", required_unless_present = "everyone")]
        user: Option<UserId>,
        /// For emergencies: end all tokens of all users, by revoking each signing key and making a new one
        #[arg(long, conflicts_with = "user")]
        everyone: bool,
        #[command(flatten)]
        place: KeysPlaceArgs,
        /// Do not ask
        #[arg(long, requires = "everyone")]
        yes: bool,
    },
    /// Refuse a user's logins, and revoke all of the user's tokens
    Block(OneId),
    /// Let a blocked user log in again
    Unblock(OneId),
    /// List the blocked users as NDJSON, for a Redis that may be lost, or for another region
    ExportBlocks,
    /// Block the users that an export lists
    ImportBlocks {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Show what is stored of a user, as JSON
    Show(OneId),
    /// Erase what is stored of a user who closes the account: tokens, WeChat identities, session keys
    Forget {
        #[command(flatten)]
        user: OneId,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Args)]
pub(super) struct OneId {
    /// The user id, the `sub` of the tokens
    #[arg(value_name = "USER_ID")]
    user: UserId,
}

#[derive(Args)]
pub(super) struct UsersFileArgs {
    /// The users file; default: the path in WXMINT_ACCOUNTS=file:PATH
    #[arg(long, value_name = "PATH")]
    users: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct OneUser {
    #[command(flatten)]
    place: UsersFileArgs,
    /// The name, as `users list` shows it
    #[arg(value_parser = name)]
    name: Username,
}

fn name(text: &str) -> Result<Username, String> {
    let name: Username = text.parse().map_err(|error: InvalidCredential| error.to_string())?;
    if User::can_be_named(&name) { Ok(name) } else { Err("must not begin with `#`, as comments do".into()) }
}

impl UsersFileArgs {
    fn path(self) -> Result<PathBuf, Failure> {
        let from_settings = || match read_one(&ACCOUNTS, variables()) {
            Ok(AccountsSource::File(path)) => Some(path),
            _ => None,
        };
        self.users
            .or_else(from_settings)
            .filter(|path: &PathBuf| !path.as_os_str().is_empty())
            .ok_or_else(|| Failure::usage("which users? Add --users users, or set WXMINT_ACCOUNTS=file:users"))
    }
}

pub(super) fn run(command: UsersCommand) -> Result<(), Failure> {
    match command {
        UsersCommand::Add { place, name, user_id, claims, replace } => {
            add(&place.path()?, name, user_id, claims, replace)
        }
        UsersCommand::Claims { user: OneUser { place, name }, claims } => set_claims(&place.path()?, &name, &claims),
        UsersCommand::Remove(OneUser { place, name }) => remove(&place.path()?, &name),
        UsersCommand::List { place, json } => list(&place.path()?, json),
        UsersCommand::Disable(OneUser { place, name }) => set_disabled(&place.path()?, &name, true),
        UsersCommand::Enable(OneUser { place, name }) => set_disabled(&place.path()?, &name, false),
        UsersCommand::End { user: Some(user), .. } => operate::end(&user),
        UsersCommand::End { user: None, place, yes, .. } => {
            keys::run(KeysCommand::Generate { place, alg: None, if_missing: false, replace: true, yes })
        }
        UsersCommand::Block(OneId { user }) => operate::block(&user),
        UsersCommand::Unblock(OneId { user }) => operate::unblock(&user),
        UsersCommand::ExportBlocks => operate::export_blocks(),
        UsersCommand::ImportBlocks { file } => operate::import_blocks(&file),
        UsersCommand::Show(OneId { user }) => operate::show(&user),
        UsersCommand::Forget { user: OneId { user }, yes } => operate::forget(&user, yes),
    }
}

fn read(path: &Path) -> Result<UsersFile, Failure> {
    let content = read_private(path).map_err(Failure::of_file(MAKE_USERS))?;
    UsersFile::parse(&content).map_err(|fault| Failure::usage(fault).at(path.display()))
}

fn list(path: &Path, as_json: bool) -> Result<(), Failure> {
    let file = read(path)?;
    let state = |user: &User| if user.disabled { "disabled" } else { "enabled" };
    let machine_readable = |user: &User| {
        let mut shown = json!({ "name": user.name.as_str(), "user_id": user.id, "state": state(user) });
        if !user.claims.claims.is_empty() {
            shown["claims"] = json!(user.claims.claims);
        }
        shown
    };
    if as_json {
        print(file.users().map(machine_readable).collect::<Value>());
        return Ok(());
    }
    for user in file.users() {
        let tab = if user.claims.claims.is_empty() { "" } else { "\t" };
        print(format_args!("{}\t{}\t{}{tab}{}", user.name.as_str(), user.id, state(user), user.claims.text));
    }
    Ok(())
}

/// Claims that are not given stay as they are.
fn add(
    path: &Path,
    name: Username,
    id: Option<UserId>,
    claims: Option<ClaimsColumn>,
    replace: bool,
) -> Result<(), Failure> {
    // Checked before the password is asked for, and again below, while nobody else can change the file.
    if path.try_exists().unwrap_or(false) {
        check_free(&read(path)?, &name, id.as_ref(), replace)?;
    }
    let password = password::ask(&name)?;
    let hash = StoredHash::of(&password).map_err(Failure::unfinished)?;
    let said = change(path, Held::wait_or_create(path, HEADING), |file| {
        check_free(file, &name, id.as_ref(), replace)?;
        if let Some(user) = file.user_mut(&name) {
            user.hash = hash;
            let (id, disabled) = (user.id.clone(), user.disabled);
            if let Some(claims) = &claims {
                file.set_claims(&id, claims);
            }
            return Ok(format!("has another password{}", if disabled { ", and is disabled still" } else { "" }));
        }
        let id = id.unwrap_or_else(|| fresh_user(now()));
        let said = format!("added, user id {id}");
        let claims = claims.unwrap_or_default();
        file.add(User { name: name.clone(), hash, id, disabled: false, claims });
        Ok(said)
    })?;
    tell(path, &name, &said);
    Ok(())
}

/// A name that exists keeps its user id, because other systems know the user by it.
fn check_free(file: &UsersFile, name: &Username, wanted: Option<&UserId>, replace: bool) -> Result<(), Failure> {
    let shown = name.as_str();
    let namesake = file.users().find(|user| Some(&user.id) == wanted);
    Err(Failure::usage(match (file.user(name), namesake) {
        (Some(_), _) if !replace => format!("{shown} exists already; for another password, add --replace"),
        (Some(User { id, .. }), _) if wanted.is_some_and(|wanted| wanted != id) => {
            format!(
                "{shown} has the user id {id}, which stays; for another one, first run: wxmint users remove {shown}"
            )
        }
        (None, Some(User { name: other, id, .. })) => {
            let other = other.as_str();
            format!("{id} is the user id of {other} already: whoever logs in as {shown} would be {other}")
        }
        _ => return Ok(()),
    }))
}

fn set_claims(path: &Path, name: &Username, claims: &ClaimsColumn) -> Result<(), Failure> {
    change(path, Held::wait(path), |file| {
        let id = file.user(name).ok_or_else(|| unknown(name))?.id.clone();
        file.set_claims(&id, claims);
        Ok(())
    })?;
    tell(path, name, if claims.text.is_empty() { "has no claims" } else { "has other claims" });
    say("note: wxmint serve reads the file within 5 s. Tokens that the user already has keep their claims.");
    Ok(())
}

fn remove(path: &Path, name: &Username) -> Result<(), Failure> {
    let others = change(path, Held::wait(path), |file| {
        let others = other_names(file, name)?;
        file.remove(name);
        Ok(others)
    })?;
    tell(path, name, "removed");
    tell_what_goes_on(&others);
    say(
        "note: if WXMINT_AUTO_PROVISION=true, disable the user instead, because it lets in people who are not in the file.",
    );
    Ok(())
}

fn set_disabled(path: &Path, name: &Username, disabled: bool) -> Result<(), Failure> {
    let others = change(path, Held::wait(path), |file| {
        file.user_mut(name).ok_or_else(|| unknown(name))?.disabled = disabled;
        other_names(file, name)
    })?;
    tell(path, name, if disabled { "disabled" } else { "enabled" });
    if disabled {
        tell_what_goes_on(&others);
    }
    Ok(())
}

/// The id of the user of this name, and the other names by which the user may log in.
fn other_names(file: &UsersFile, name: &Username) -> Result<(UserId, String), Failure> {
    let user = file.user(name).ok_or_else(|| unknown(name))?;
    let others = file.users().filter(|other| other.id == user.id && other.name != *name && !other.disabled);
    Ok((user.id.clone(), others.map(|other| other.name.as_str()).collect::<Vec<_>>().join(", ")))
}

fn tell_what_goes_on((id, others): &(UserId, String)) {
    match others.as_str() {
        "" => say(format_args!(
            "note: wxmint serve refuses the user's logins within 5 s. The user's tokens stay valid until they expire; \
             to end them now: wxmint users end {id}"
        )),
        more => say(format_args!("note: the user can still log in, because these names have the same user id: {more}")),
    }
}

fn tell(path: &Path, name: &Username, said: &str) {
    print(format_args!("{}: {} {said}", path.display(), name.as_str()));
}

fn unknown(name: &Username) -> Failure {
    Failure::usage(format_args!("there is no user {name}; see: wxmint users list", name = name.as_str()))
}

/// Reads the file, lets `decide` change it, and writes it, while no other process can.
fn change<T>(
    path: &Path,
    held: Result<Held, FileError>,
    decide: impl FnOnce(&mut UsersFile) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let held = held.map_err(Failure::of_file(MAKE_USERS))?;
    let mut file = read(path)?;
    let outcome = decide(&mut file)?;
    let content = file.content();
    if UsersFile::parse(&content).as_ref() != Ok(&file) {
        return Err(Failure::usage("nothing was changed: a user id in the file must not look like a hash"));
    }
    // `wxmint serve` takes an empty file for one that is being written.
    let content = if content.is_empty() { HEADING } else { &content };
    held.replace(content).map_err(Failure::of_file(MAKE_USERS))?;
    Ok(outcome)
}
