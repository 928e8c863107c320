//! `wxmint doctor`: checks everything that a configuration names, and says what to mend. It changes
//! nothing.
//!
//! Each check is a function that turns an observation into a [`Finding`]. `issuer` and `verifiers`
//! observe, and run their checks concurrently.

mod accounts;
mod issuer;
mod platforms;
mod verifiers;
pub(crate) mod wechat;

use std::sync::{Arc, Mutex, TryLockError};
use std::{collections::BTreeMap, thread, time::Duration};

use clap::{Args, Subcommand};
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::{Instant, timeout_at};
use tracing::{Dispatch, dispatcher::set_default};
use wxmint_http::run_to_end;

use super::output::{Language, complete, json, print, say};
use super::{EXIT_FAULTS, EXIT_UNFINISHED, Failure, remarks};
use crate::findings::{Doctor, Finding, Status, with_unchecked};
use crate::issuer::door::Doors;
use crate::settings::{Fault, Faults, env_file};

/// How long all checks may take together. The doctor does not wait for anything slower, such as a
/// file system that hangs.
const LONGEST: Duration = Duration::from_secs(13);

#[derive(Args, Default)]
pub(super) struct DoctorArgs {
    /// Print JSON: {"checks":[{"name","status","found","advice"}]}
    #[arg(long, global = true)]
    json: bool,
    /// Also fetch keys and metadata at the issuer's URL, as verifiers do
    #[arg(long)]
    public: bool,
    /// The language of what is found; else that of the locale. JSON is in English
    #[arg(long, value_enum, global = true)]
    lang: Option<Language>,
    #[command(subcommand)]
    of: Option<DoctorCommand>,
}

#[derive(Subcommand)]
enum DoctorCommand {
    /// Check the configuration of `wxmint sidecar`
    Sidecar,
}

/// Takes the findings of a group of checks.
type Tell = Box<dyn Fn(Vec<Finding>)>;

/// Prints the findings. Fails with an exit code for the worst of them.
pub(super) fn run(args: &DoctorArgs, doors: Doors) -> Result<(), Failure> {
    let public = args.public;
    let loaded = env_file::load();
    let names = match args.of {
        None => issuer::checks(public, doors),
        Some(DoctorCommand::Sidecar) if public => {
            return Err(Failure::usage(message!(public_is_for_issuer_doctor)));
        }
        Some(DoctorCommand::Sidecar) => verifiers::OF_SIDECAR.to_vec(),
    };
    let found = match (&args.of, loaded) {
        (_, Err(faults)) => {
            let faults = faults
                .into_iter()
                .map(|fault| Finding::fault("settings", fault, message!(mend_file)));
            with_unchecked(faults.collect(), &names, message!(settings_cannot_be_used))
        }
        (Some(DoctorCommand::Sidecar), Ok(())) => {
            run_to_end(gather(names, verifiers::examine_sidecar))
        }
        (None, Ok(())) => run_to_end(gather(names, move |tell| {
            issuer::examine(tell, public, doors)
        })),
    };
    let language = args.lang.unwrap_or_else(Language::of_locale);
    match args.json {
        true => print(report(&found)),
        false => {
            for line in lines(&found, language) {
                print(line);
            }
        }
    }
    complete()?;
    let worst = found.iter().map(|finding| finding.status).max();
    if worst > Some(Status::Ok) && !args.json && language == Language::Zh {
        say("各检查项的说明：docs/operation.zh-CN.md 的“体检”；英文原文：加 --json");
    }
    match worst {
        Some(Status::Fault) => Err(Failure::said(EXIT_FAULTS)),
        Some(Status::Warning) => Err(Failure::said(EXIT_UNFINISHED)),
        Some(Status::Ok) | None => Ok(()),
    }
}

/// Checks the configuration of this `wxmint serve` process, with its files as they are now.
pub(super) fn of_this_process(doors: Doors) -> Doctor {
    Arc::new(move || {
        Box::pin(gather(issuer::checks(false, doors), move |tell| {
            issuer::examine(tell, false, doors)
        }))
    })
}

fn report(found: &[Finding]) -> String {
    json(&BTreeMap::from([("checks", found)]))
}

/// Formats a line for each finding. Checks with the same finding share a line.
fn lines(found: &[Finding], language: Language) -> Vec<String> {
    let mut lines: Vec<(&Finding, Vec<&str>)> = Vec::new();
    for finding in found {
        match lines.iter_mut().find(|(other, _)| {
            Finding {
                name: other.name,
                ..finding.clone()
            } == **other
        }) {
            Some((_, names)) => names.push(finding.name),
            None => lines.push((finding, vec![finding.name])),
        }
    }
    lines
        .into_iter()
        .map(|(finding, names)| line(finding, &names.join(", "), language))
        .collect()
}

fn line(finding: &Finding, names: &str, language: Language) -> String {
    format!(
        "{:7}  {names:18}  {}",
        finding.status.to_string(),
        language.tell(finding)
    )
}

/// Held while checks run. Checks may hang longer than anybody waits for them, and their number must
/// not grow.
static EXAMINING: Mutex<()> = Mutex::new(());

/// Returns the findings on each of `names`, in that order. The checks run in a thread of their own,
/// for which the end of the process does not wait. They log nothing, because everything that they
/// find is returned.
async fn gather<F: Future<Output = ()>>(
    names: Vec<&'static str>,
    examine: impl FnOnce(Tell) -> F + Send + 'static,
) -> Vec<Finding> {
    let (tells, mut told) = unbounded_channel();
    thread::spawn(move || {
        let alone = EXAMINING.try_lock();
        if let Err(TryLockError::WouldBlock) = alone {
            return;
        }
        let _silent = set_default(&Dispatch::none());
        run_to_end(async { examine(Box::new(move |found| _ = tells.send(found))).await });
    });
    let mut all = Vec::new();
    let deadline = Instant::now() + LONGEST;
    while let Ok(Some(found)) = timeout_at(deadline, told.recv()).await {
        all.extend(found);
    }
    in_order(&names, all)
}

fn in_order(names: &[&'static str], mut all: Vec<Finding>) -> Vec<Finding> {
    let missing: Vec<_> = names
        .iter()
        .filter(|name| !all.iter().any(|finding| finding.name == **name))
        .map(|name| {
            Finding::fault(
                name,
                message!(no_answer_within, LONGEST.as_secs()),
                message!(look_what_hangs),
            )
        })
        .collect();
    all.extend(missing);
    all.sort_by_key(|finding| names.iter().position(|name| *name == finding.name));
    all
}

/// The findings on settings that cannot be used, and on the checks that need them.
fn faulty(faults: &Faults, names: &[&'static str]) -> Vec<Finding> {
    let found = remarks::beside(faults)
        .into_iter()
        .chain(faults.0.iter().map(of_fault))
        .collect();
    with_unchecked(found, names, message!(settings_cannot_be_used))
}

fn of_fault(fault: &Fault) -> Finding {
    let Fault {
        variable,
        subject,
        problem,
        wanted,
        example,
    } = fault;
    let advice = match **subject == **variable {
        true if problem.contains("unset ") => message!(then_run_doctor_again),
        true => message!(set_variable_to, variable, wanted, example),
        false => message!(let_file_hold, variable, wanted, example),
    };
    Finding::fault("settings", message!("{} {}", subject, problem), advice)
}

fn remarked(remarks: Vec<Finding>) -> Vec<Finding> {
    if remarks.is_empty() {
        vec![Finding::ok("settings", message!(complete))]
    } else {
        remarks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{read_one, variables::APP_SECRET};

    #[test]
    fn a_line_has_status_names_finding_and_advice() {
        let fault = Finding::fault("redis.reach", "Redis is gone", "start it");
        let same = ["vault", "accounts"].map(|name| Finding::unchecked(name, "no settings"));
        assert_eq!(
            lines(
                &[
                    fault,
                    same[0].clone(),
                    Finding::ok("keys", "one"),
                    same[1].clone()
                ],
                Language::En
            ),
            [
                "fault    redis.reach         Redis is gone; start it",
                "warning  vault, accounts     not checked: no settings; mend that first, then run the doctor again",
                "ok       keys                one",
            ]
        );
        let late = Finding::fault(
            "vault",
            message!(no_answer_within, 13),
            message!(set_both_by_ntp),
        );
        assert_eq!(
            line(&late, late.name, Language::Zh),
            "fault    vault               13 秒内没有响应；两边都用 NTP 校时"
        );
        let expected = r#"{"checks":[{"name":"keys","status":"ok","found":"one","advice":""}]}"#;
        assert_eq!(report(&[Finding::ok("keys", "one")]), expected);
    }

    #[test]
    fn advice_about_settings_does_not_lead_into_the_next_fault() {
        let secret = (
            "WXMINT_APP_SECRET".to_owned(),
            "fedcba9876543210fedcba9876543210".to_owned(),
        );
        let file = ("WXMINT_APP_SECRET_FILE".to_owned(), "/nowhere".to_owned());
        for (vars, words) in [
            (
                vec![file.clone()],
                "; let WXMINT_APP_SECRET_FILE name a file that this process can read, with ",
            ),
            (vec![secret, file], "_FILE are both set: unset one of them"),
            (vec![], "is not set; set WXMINT_APP_SECRET to "),
        ] {
            let faults = read_one(&APP_SECRET, vars).expect_err("a fault");
            let said = faulty(&faults, &[]).last().expect("a finding").to_string();
            assert!(said.contains(words), "{said}");
            assert_eq!(
                said.contains("; set "),
                words.contains("is not set"),
                "{said}"
            );
        }
    }

    #[test]
    fn while_checks_hang_no_others_begin() {
        let _hanging = EXAMINING.lock();
        let found = run_to_end(gather(vec!["a"], |_| async { panic!("begun") }));
        assert_eq!((found[0].status, found.len()), (Status::Fault, 1));
    }

    #[test]
    fn a_check_that_hangs_is_a_fault_in_its_place() {
        let found = in_order(
            &["a", "b", "c"],
            vec![
                Finding::ok("c", ""),
                Finding::ok("a", "1"),
                Finding::ok("a", "2"),
            ],
        );
        let names: Vec<_> = found
            .iter()
            .map(|finding| (finding.name, finding.status))
            .collect();
        assert_eq!(
            names,
            [
                ("a", Status::Ok),
                ("a", Status::Ok),
                ("b", Status::Fault),
                ("c", Status::Ok)
            ]
        );
    }
}
