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
use crate::accounts::{ClaimsColumn, StoredHash, User, Username, UsersFile, fresh_user};
use crate::clock::now;
use crate::secret_files::{BYTE_ORDER_MARK, FileError, Held, MAKE_USERS, read_private};
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
    /// Revoke all tokens of a user, whatever account backend knows the user. This command and the next six work in the
    /// Redis of WXMINT_REDIS_URL
    Revoke {
        /// The user id, the `sub` of the tokens
        #[arg(value_name = "USER_ID", required_unless_present = "everyone")]
        user: Option<UserId>,
        /// For emergencies: revoke all tokens of all users, by revoking each signing key and making a new one
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
    Erase {
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
    let name: Username = text.parse()?;
    // A line of the file that begins with one of these characters is no user's.
    let is_other = name.as_str().starts_with(['#', BYTE_ORDER_MARK]);
    if is_other {
        Err("must not begin with `#`, as comments do".into())
    } else {
        Ok(name)
    }
}

impl UsersFileArgs {
    fn path(self) -> Result<PathBuf, Failure> {
        let path = self
            .users
            .or_else(|| match read_one(&ACCOUNTS, variables()) {
                Ok(AccountsSource::File(path)) => Some(path),
                _ => None,
            })
            .filter(|path| !path.as_os_str().is_empty());
        path.ok_or_else(|| {
            Failure::usage("which users? Add --users users, or set WXMINT_ACCOUNTS=file:users")
        })
    }
}

pub(super) fn run(command: UsersCommand) -> Result<(), Failure> {
    match command {
        UsersCommand::Add {
            place,
            name,
            user_id,
            claims,
            replace,
        } => add(&place.path()?, name, user_id, claims, replace),
        UsersCommand::Claims { user, claims } => set_claims(user, &claims),
        UsersCommand::Remove(user) => remove(user),
        UsersCommand::List { place, json } => list(&place.path()?, json),
        UsersCommand::Disable(user) => set_disabled(user, true).map(tell_what_goes_on),
        UsersCommand::Enable(user) => set_disabled(user, false).map(drop),
        UsersCommand::Revoke {
            user: Some(user), ..
        } => operate::revoke(&user),
        UsersCommand::Revoke {
            user: None,
            place,
            yes,
            ..
        } => keys::run(KeysCommand::Generate {
            place,
            alg: None,
            if_missing: false,
            replace: true,
            yes,
        }),
        UsersCommand::Block(OneId { user }) => operate::block(&user),
        UsersCommand::Unblock(OneId { user }) => operate::unblock(&user),
        UsersCommand::ExportBlocks => operate::export_blocks(),
        UsersCommand::ImportBlocks { file } => operate::import_blocks(&file),
        UsersCommand::Show(OneId { user }) => operate::show(&user),
        UsersCommand::Erase {
            user: OneId { user },
            yes,
        } => operate::erase(&user, yes),
    }
}

fn read(path: &Path) -> Result<UsersFile, Failure> {
    let content = read_private(path).map_err(Failure::of_file(MAKE_USERS))?;
    UsersFile::parse(&content).map_err(|fault| Failure::usage(fault).at(path.display()))
}

fn list(path: &Path, as_json: bool) -> Result<(), Failure> {
    let file = read(path)?;
    if as_json {
        print(file.users().map(machine_readable).collect::<Value>());
        return Ok(());
    }
    for user in file.users() {
        let tab = if user.claims.claims.is_empty() {
            ""
        } else {
            "\t"
        };
        print(format_args!(
            "{}\t{}\t{}{tab}{}",
            user.name.as_str(),
            user.id,
            state(user),
            user.claims.text
        ));
    }
    Ok(())
}

fn state(user: &User) -> &'static str {
    if user.disabled { "disabled" } else { "enabled" }
}

fn machine_readable(user: &User) -> Value {
    let mut shown = json!({ "name": user.name.as_str(), "user_id": user.id, "state": state(user) });
    if !user.claims.claims.is_empty() {
        shown["claims"] = json!(user.claims.claims);
    }
    shown
}

/// Adds a user, or gives an existing user another password. Claims that are not given stay as they
/// are.
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
            let id = user.id.clone();
            let disabled = user.disabled;
            if let Some(claims) = &claims {
                file.set_claims(&id, claims);
            }
            return Ok(format!(
                "has another password{}",
                if disabled {
                    ", and is disabled still"
                } else {
                    ""
                }
            ));
        }
        let id = id.unwrap_or_else(|| fresh_user(now()));
        let said = format!("added, user id {id}");
        file.add(User {
            name: name.clone(),
            hash,
            id,
            disabled: false,
            claims: claims.unwrap_or_default(),
        });
        Ok(said)
    })?;
    tell(path, &name, &said);
    Ok(())
}

/// Checks that the name and the user id are free. An existing name keeps its user id, because other
/// systems know the user by that id.
fn check_free(
    file: &UsersFile,
    name: &Username,
    wanted: Option<&UserId>,
    replace: bool,
) -> Result<(), Failure> {
    let shown = name.as_str();
    Err(Failure::usage(
        match (
            file.user(name),
            file.users().find(|user| Some(&user.id) == wanted),
        ) {
            (Some(_), _) if !replace => {
                format!("{shown} exists already; for another password, add --replace")
            }
            (Some(User { id, .. }), _) if wanted.is_some_and(|wanted| wanted != id) => {
                format!(
                    "{shown} has the user id {id}, which stays, because the WeChat user is bound to it"
                )
            }
            (
                None,
                Some(User {
                    name: other, id, ..
                }),
            ) => {
                let other = other.as_str();
                format!(
                    "{id} is the user id of {other} already: whoever logs in as {shown} would be {other}"
                )
            }
            _ => return Ok(()),
        },
    ))
}

fn set_claims(user: OneUser, claims: &ClaimsColumn) -> Result<(), Failure> {
    let said = if claims.text.is_empty() {
        "has no claims"
    } else {
        "has other claims"
    };
    edit(user, said, |file, user| file.set_claims(&user.id, claims))?;
    say(
        "note: wxmint serve reads the file within 5 s. Tokens that the user already has keep their claims.",
    );
    Ok(())
}

fn remove(user: OneUser) -> Result<(), Failure> {
    tell_what_goes_on(edit(user, "removed", |file, user| file.remove(&user.name))?);
    say(
        "note: if WXMINT_AUTO_PROVISION=true, disable the user instead, because it lets in people who are not in the file.",
    );
    Ok(())
}

fn set_disabled(user: OneUser, disabled: bool) -> Result<(UserId, String), Failure> {
    edit(
        user,
        if disabled { "disabled" } else { "enabled" },
        |file, user| {
            if let Some(user) = file.user_mut(&user.name) {
                user.disabled = disabled;
            }
        },
    )
}

/// Changes a user in the file, and reports the change. Returns the user id, and the user's other
/// names that may log in.
fn edit(
    OneUser { place, name }: OneUser,
    said: &str,
    act: impl FnOnce(&mut UsersFile, &User),
) -> Result<(UserId, String), Failure> {
    let path = place.path()?;
    let goes_on = change(&path, Held::wait(&path), |file| {
        let user = file.user(&name).cloned().ok_or_else(|| {
            Failure::usage(format_args!(
                "there is no user {}; see: wxmint users list",
                name.as_str()
            ))
        })?;
        let others = file
            .users()
            .filter(|other| other.id == user.id && other.name != name && !other.disabled);
        let others = others
            .map(|other| other.name.as_str())
            .collect::<Vec<_>>()
            .join(", ");
        act(file, &user);
        Ok((user.id, others))
    })?;
    tell(&path, &name, said);
    Ok(goes_on)
}

fn tell_what_goes_on((id, others): (UserId, String)) {
    match others.as_str() {
        "" => say(format_args!(
            "note: wxmint serve refuses the user's logins within 5 s. The user's tokens stay valid until they expire; \
             to revoke them now: wxmint users revoke {id}"
        )),
        more => say(format_args!(
            "note: the user can still log in, because these names have the same user id: {more}"
        )),
    }
}

fn tell(path: &Path, name: &Username, said: &str) {
    print(format_args!("{}: {} {said}", path.display(), name.as_str()));
}

/// Reads the file, lets `decide` change it, and writes it, while no other process can change it.
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
        return Err(Failure::usage(
            "nothing was changed: a user id in the file must not look like a hash",
        ));
    }
    // `wxmint serve` would take an empty file for a file that is being written.
    let content = if content.is_empty() {
        HEADING
    } else {
        &content
    };
    held.replace(content)
        .map_err(Failure::of_file(MAKE_USERS))?;
    Ok(outcome)
}
