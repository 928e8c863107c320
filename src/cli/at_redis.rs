//! The parts that commands share if they use the Redis of `wxmint serve`.

use std::{fs, time::Duration};

use backon::Retryable;
use wxmint_http::run_to_end;
use wxmint_store::walk::{PAGE, Page, Place};
use wxmint_store::{Store, StoreAccess, StoreError};
use wxmint_telemetry::audit;

use super::output::{Language, Progress, say};
use super::{Failure, serve::init_log, variables};
use crate::findings::Status;
use crate::settings::{AUDIT, LOG_FORMAT, StoreSettings, read_one};
use crate::{clock::now, login::Operator, redis_checks::fitness};

/// The pauses before a step is retried that Redis did not answer. Redis is away for a few seconds
/// while it saves or fails over to a replica.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// Shown because with `WXMINT_AUDIT=log` each process has its own log, and a command's log is this
/// terminal.
const EVENTS_ARE_HERE: &str = "note: the audit event of this command is the JSON line above, and nowhere else: with \
                               WXMINT_AUDIT=log the log of `wxmint serve` does not have it. Keep the line, or set \
                               WXMINT_AUDIT=file:PATH, by which a command appends its event to the file.";

/// The Redis that `wxmint serve` uses.
pub(crate) fn open() -> Result<Store, Failure> {
    let access = StoreSettings::from_vars(variables())?
        .redis()
        .map_err(Failure::usage)?;
    let none = "WXMINT_REDIS_URL=memory: keeps everything inside `wxmint serve`; this command needs a Redis";
    let access = access.ok_or_else(|| Failure::usage(none))?;
    // The life of session keys is of no importance here, because commands write none.
    Ok(Store::new(
        &StoreAccess::new(access),
        Duration::ZERO,
        now,
        (),
    ))
}

/// Runs an operator's acts at the Redis of the settings. If the audit file cannot be opened, runs
/// none, so that each act has its event.
pub(crate) fn audited<T>(
    acts: impl AsyncFnOnce(&Operator<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let redis = open()?;
    init_log(
        read_one(&LOG_FORMAT, variables())?,
        &read_one(&AUDIT, variables())?,
    )?;
    let outcome = run_to_end(acts(&Operator { store: &redis }));
    if audit::is_in_log() {
        say(EVENTS_ARE_HERE);
    }
    audit::close();
    outcome
}

/// Audits an act, with the operating system's user as its author, and returns the outcome of the
/// act.
pub(crate) fn noted<T>(event: audit::Event, outcome: Result<T, Failure>) -> Result<T, Failure> {
    audit::Event {
        by: Some(by()),
        refused: outcome.as_ref().err().map(|_| "failed".into()),
        ..event
    }
    .tell();
    outcome
}

/// Checks that Redis answers, and warns if it is not fit to keep bindings.
pub(crate) async fn check(redis: &Store) -> Result<(), Failure> {
    let found = fitness(&redis.link, now().timestamp(), Status::Warning).await;
    let found =
        found.map_err(|error| Failure::unfinished(format_args!("WXMINT_REDIS_URL: {error}")))?;
    for finding in found.iter().filter(|finding| finding.status != Status::Ok) {
        say(format_args!(
            "warning: {}",
            Language::of_locale().tell(finding)
        ));
    }
    Ok(())
}

/// Repeats a step that Redis did not answer. Every step is idempotent.
pub(crate) async fn retry<T, E>(step: impl AsyncFn() -> Result<T, E>) -> Result<T, E> {
    retry_after(&PAUSES, |_| true, step).await
}

/// Repeats a command's first step once, because an answer may be lost. Does not retry longer, so
/// that a Redis that is away is reported at once.
pub(crate) async fn at_first<T, E>(step: impl AsyncFn() -> Result<T, E>) -> Result<T, E> {
    retry_after(&PAUSES[..1], |_| true, step).await
}

/// Repeats a step after each of the pauses, as long as its error may pass.
async fn retry_after<T, E>(
    pauses: &[Duration],
    may_pass: impl Fn(&E) -> bool,
    step: impl AsyncFn() -> Result<T, E>,
) -> Result<T, E> {
    (|| step())
        .retry(pauses.iter().copied())
        .when(may_pass)
        .await
}

/// Walks over all bindings, or other things that `read` returns, and calls `add` with each. Some of
/// them come twice.
pub(crate) async fn walk_all<T>(
    read: impl AsyncFn(&Place) -> Result<Page<T>, StoreError>,
    mut add: impl FnMut(T) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut place = Place::default();
    let mut keys = 0;
    let mut progress = Progress::begin();
    loop {
        let Page {
            found,
            of,
            next,
            may_miss,
        } = retry_after(
            &PAUSES,
            |error: &StoreError| !error.is_lasting(),
            async || read(&place).await,
        )
        .await?;
        if may_miss {
            return Err(Failure::unfinished(
                "Redis was restarted meanwhile. Run the same command again.",
            ));
        }
        for found in found {
            add(found)?;
        }
        keys = (keys + PAGE).min(of);
        progress.tell(format_args!("about {keys} of {of} keys read"));
        let Some(next) = next else { return Ok(()) };
        place = next;
    }
}

/// `command` and the user of the operating system.
fn by() -> String {
    let uid = rustix::process::getuid().as_raw().to_string();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let own = users
        .lines()
        .find(|line| line.split(':').nth(2) == Some(&uid));
    let name = own.and_then(|line| line.split(':').next()).unwrap_or(&uid);
    format!("command:{name}")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn what_cannot_be_read_is_not_read_again_and_nobody_is_told_to_try() {
        let reads = Cell::new(0);
        let read = async |_: &Place| {
            reads.set(reads.get() + 1);
            Err::<Page<()>, _>(StoreError::Damaged("the name of a key"))
        };
        let told = walk_all(read, |()| Ok(())).await;
        let why = "the name of a key in Redis cannot be read: mend or delete it.";
        assert_eq!((told, reads.get()), (Err(Failure::unfinished(why)), 1));
    }
}
