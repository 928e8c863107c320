//! `wxmint bindings import`

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use futures_util::{StreamExt, stream};
use wxmint_ids::{AppId, Person};
use wxmint_store::{AttemptId, Bound, Intent, Store, StoreError};
use wxmint_telemetry::audit::{Activity, Event, Origin};

use super::{
    Failure, Progress, check, file::BindingsFile, noted, print, record::Record, retry, say,
};
use crate::login::{BindError, Binder, SettledState, Unavailable, UnionIdLink};
use crate::settings::{BINDINGS_PER_USER, read_all_apps, read_one};
use crate::{accounts::Named, apps::CurrentApps, cli::variables};

/// How many people are imported at the same time, so that the round trips to Redis overlap.
const IN_FLIGHT: usize = 64;

#[derive(Args)]
pub(in crate::cli) struct ImportArgs {
    /// NDJSON: an export, or the table of another system
    pub(super) file: PathBuf,
    /// The file is the table of another system, and does not end with the number of its lines
    #[arg(long)]
    pub(super) no_trailer: bool,
    /// The app of lines that name none
    #[arg(long, value_name = "APPID")]
    pub(super) appid: Option<AppId>,
    /// The number of people that a user may have in one app; default: WXMINT_BINDINGS_PER_USER
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    per_user: Option<u32>,
}

const BLOCKED: &str =
    "the user is blocked, whose list takes nobody: unblock, import, and block again";

enum Imported {
    Done { news: bool, conflict: bool },
    Refused(&'static str),
}

#[derive(Default, derive_more::Display)]
#[display("imported {imported} people; {unchanged} were unchanged; {refused} were refused")]
struct Counts {
    imported: u64,
    unchanged: u64,
    refused: u64,
}

pub(super) async fn run(redis: &Store, args: &ImportArgs) -> Result<(), Failure> {
    check(redis).await?;
    let file = BindingsFile::open(args)?;
    let people = file.check()?;
    // One id serves for the whole import, because it only distinguishes a repeated step from a step
    // of another writer.
    let attempt = AttemptId::random();
    let per_user = match args.per_user {
        Some(per_user) => per_user,
        None => read_one(&BINDINGS_PER_USER, variables())?,
    };
    let mut counts = Counts::default();
    let outcome = Import {
        redis,
        attempt,
        per_user,
    }
    .all(&file, people, &mut counts)
    .await;
    noted(
        Event {
            note: Some(counts.to_string()),
            ..Event::new(Activity::BIND, Origin::default())
        },
        outcome,
    )
}

/// Warns of AppIDs that no app here has. People who are imported under such an AppID are not found
/// at a login, so they become new users.
fn warn_of_unknown(apps: &BTreeSet<AppId>) {
    let Some(known) = read_all_apps(variables()).and_then(|source| CurrentApps::read(source).ok())
    else {
        return;
    };
    let known = known.all();
    for app in apps
        .iter()
        .filter(|app| known.choose(Some(app), None).is_err())
    {
        say(format_args!(
            "warning: no app here has the AppID {app}: under another one, these people become new users"
        ));
    }
}

struct Import<'a> {
    redis: &'a Store,
    attempt: AttemptId,
    per_user: u32,
}

impl Import<'_> {
    async fn all(
        &self,
        file: &BindingsFile<'_>,
        people: usize,
        counts: &mut Counts,
    ) -> Result<(), Failure> {
        let mut progress = Progress::begin();
        let mut conflicts = 0;
        let mut apps = BTreeSet::new();
        let lines = stream::iter(file.records(people)?).map(async |line| {
            let (number, record) = line?;
            let done = retry(async || self.one(&record).await).await?;
            Ok::<_, Failure>((number, record.person.app, done))
        });
        let mut lines = std::pin::pin!(lines.buffered(IN_FLIGHT));
        while let Some(done) = lines.next().await {
            let before = counts.imported + counts.unchanged + counts.refused;
            let (number, app, done) =
                done.inspect_err(|_| say(format_args!("{before} of {people} people are done")))?;
            apps.insert(app);
            match done {
                Imported::Done { news, conflict } => {
                    *(if news {
                        &mut counts.imported
                    } else {
                        &mut counts.unchanged
                    }) += 1;
                    conflicts += u64::from(conflict);
                }
                Imported::Refused(reason) => {
                    counts.refused += 1;
                    print(format_args!("line {number}: {reason}"));
                }
            }
            progress.tell(format_args!("{} of {people} people are done", before + 1));
        }
        say(&*counts);
        warn_of_unknown(&apps);
        if conflicts > 0 {
            say(format_args!(
                "the unionids of {conflicts} people belong to other users; see: wxmint bindings export"
            ));
        }
        let refused = Failure::unfinished("the lines listed were not imported; all others were");
        if counts.refused > 0 {
            Err(refused)
        } else {
            Ok(())
        }
    }

    /// Imports one person. Each step is idempotent, and so is the import.
    async fn one(
        &self,
        Record {
            person,
            bound: line,
        }: &Record,
    ) -> Result<Imported, Unavailable> {
        let Some(line) = line else {
            return Ok(Imported::Done {
                news: self.redis.bindings.note_unbound(person).await?,
                conflict: false,
            });
        };
        let user = &line.user;
        let store = self.redis.at(line.bound_at);
        // Binds without the unionid: if the unionid belongs to another user, that is no reason to
        // refuse the person.
        let binder = Binder {
            store: &store,
            person,
            unionid: None,
            attempt: &self.attempt,
            per_user: self.per_user,
        };
        let mut news = false;
        let binding = async {
            let settled = binder.settle(store.bindings.state(person).await?).await?;
            news = matches!(settled, SettledState::Free { .. });
            binder
                .bind(
                    &Named {
                        user: user.clone(),
                        made: false,
                    },
                    settled,
                )
                .await
        };
        let refused = match binding.await {
            Ok(bound) => {
                if !news
                    && !store
                        .bindings
                        .people_of(user)
                        .await?
                        .is_some_and(|people| people.contains(person))
                {
                    // Blocks and revocations use the user's list, which may be older than the
                    // binding after a restore.
                    if store.revocations.user_state(user).await?.blocked {
                        return Ok(Imported::Refused(BLOCKED));
                    }
                    let intent = Intent {
                        user: user.clone(),
                        made: false,
                        by_unionid: false,
                    };
                    store
                        .bindings
                        .admit(person, bound.generation, &intent, u32::MAX)
                        .await?;
                }
                return Ok(Imported::Done {
                    news,
                    conflict: self.link(person, line, &bound).await?,
                });
            }
            Err(BindError::AlreadyBound) if news => {
                "the user has as many people in this app as --per-user or WXMINT_BINDINGS_PER_USER allows"
            }
            Err(BindError::AlreadyBound) => "the person is bound to another user",
            Err(BindError::Blocked) => BLOCKED,
            Err(BindError::Unavailable(error)) => return Err(error),
        };
        Ok(Imported::Refused(refused))
    }

    /// Links the unionid to the user that the line names for it. Does nothing if a login has
    /// already linked a unionid to the person, because that link is newer than the line. Returns
    /// whether the unionid belongs to another user and that is new.
    async fn link(&self, person: &Person, line: &Bound, bound: &Bound) -> Result<bool, StoreError> {
        let Some(unionid) = line.unionid.as_ref().filter(|_| bound.unionid.is_none()) else {
            return Ok(false);
        };
        if let Some(user) = &line.conflict {
            self.redis.union_ids.relink(unionid, user, user).await?;
        }
        let unionid = Some(unionid);
        let per_user = self.per_user;
        let binder = Binder {
            store: self.redis,
            person,
            unionid,
            attempt: &self.attempt,
            per_user,
        };
        Ok(matches!(
            binder.link(bound, async |_| Ok(false)).await?,
            UnionIdLink::Conflict(_)
        ))
    }
}
