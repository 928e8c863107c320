//! The checks of everything that `wxmint serve` needs.

use std::{os::unix::fs::FileTypeExt, path::PathBuf};

use ipnet::IpNet;
use wxmint_store::Store;
use wxmint_telemetry::Audit;
use wxmint_telemetry::audit::{FOREIGN_LINK, folder_of, is_ours};

use super::{Tell, accounts, faulty, platforms, remarked, verifiers::published, wechat};
use crate::apps::{AppsSource, IGNORED, is_copy};
use crate::cli::{remarks, variables};
use crate::findings::{Finding, Message, count, with_unchecked};
use crate::issuer::{Issuer, door::Doors, is_free, open_redis};
use crate::oauth::CLIENTS_FILE;
use crate::redis_checks::{self, REDIS_CHECKS};
use crate::settings::{Settings, value_files};
use crate::{clock::now, secret_files};

/// The names of the checks, in the order in which they are printed.
pub(super) fn checks(public: bool, doors: Doors) -> Vec<&'static str> {
    let names = [
        &["settings"],
        &files(doors)[..],
        &REDIS_CHECKS,
        &wechat::CHECKS,
        &[platforms::CHECK, "accounts"],
    ]
    .concat();
    names
        .into_iter()
        .chain(public.then_some("public"))
        .chain(["proxies"])
        .collect()
}

/// The names of the checks of files. A door's check is included only if its variable is set.
fn files(doors: Doors) -> Vec<&'static str> {
    let of_doors = doors
        .iter()
        .filter_map(|row| row.check)
        .filter(|(_, variable)| is_set(variable));
    let clients = is_set(CLIENTS_FILE).then_some("clients");
    ["files", "keys", "vault", "user_ids"]
        .into_iter()
        .chain(clients)
        .chain(of_doors.map(|(name, _)| name))
        .collect()
}

fn is_set(variable: &str) -> bool {
    variables().any(|(name, value)| name == variable && !value.is_empty())
}

pub(super) async fn examine(tell: Tell, public: bool, doors: Doors) {
    let settings = match Settings::serving(variables(), |path| is_free(path, doors)) {
        Ok(settings) => settings,
        Err(faults) => return tell(faulty(&faults, &checks(public, doors))),
    };
    tell(remarked(remarks::of_serve(&settings)));
    tell(vec![proxies(
        &settings.trusted_proxies,
        settings.issuer.as_str(),
    )]);
    let issuer = Issuer::from_settings(settings.clone(), doors);
    let issuer = &issuer;
    let redis = open_redis(&settings)
        .map(|access| access.map(|access| Store::new(&access, settings.session_key_ttl, now, ())));
    let of_files = [&files(doors)[..], &["accounts"]].concat();
    let files = async {
        let mut found = match issuer {
            Ok(issuer) => {
                issuer
                    .examine(redis.as_ref().ok().and_then(Option::as_ref), now())
                    .await
            }
            Err(error) => with_unchecked(
                error.findings.clone(),
                &of_files,
                message!(file_of_settings_is_unusable),
            ),
        };
        found.extend(audit(&settings.audit));
        found.extend(value_files(variables()).into_iter().filter_map(exposed));
        found.extend(apps(&settings.apps));
        tell(found);
    };
    let redis_checked = async {
        tell(match &redis {
            Ok(Some(redis)) => redis_checks::examine(redis, now, settings.token_ttl).await,
            Ok(None) => REDIS_CHECKS
                .map(|name| Finding::ok(name, message!(memory_needs_no_redis)))
                .into(),
            Err(_) => with_unchecked(
                Vec::new(),
                &REDIS_CHECKS,
                message!(its_tls_files_cannot_be_used),
            ),
        });
    };
    let accounts = async {
        tell(Vec::from_iter(
            accounts::examine(issuer.as_ref().ok(), &settings).await,
        ));
    };
    let published = async {
        if public {
            tell(published(&settings.issuer, issuer.as_ref().ok()).await);
        }
    };
    let alone = doors
        .iter()
        .filter(|row| row.check.is_some_and(|(_, variable)| is_set(variable)))
        .find_map(|row| row.alone)
        .map(|said| said());
    let wechat = async { tell(wechat::examine(&settings, alone).await) };
    let platforms = async { tell(platforms::examine(&settings).await) };
    tokio::join!(files, redis_checked, accounts, published, wechat, platforms);
}

/// Checks the trusted proxies. wxmint does not terminate TLS, so an https issuer has a proxy in
/// front of it.
fn proxies(trusted: &[IpNet], issuer: &str) -> Finding {
    let warning = |found: Message, advice: Message| Finding::warning("proxies", found, advice);
    match trusted {
        [] if issuer.starts_with("https") => warning(
            message!(all_phones_are_one),
            message!(set_proxies_or_use_tcp),
        ),
        [] => Finding::ok("proxies", message!(none_is_trusted)),
        trusted if trusted.iter().any(|network| network.prefix_len() == 0) => warning(
            message!(every_address_is_trusted),
            message!(set_trusted_proxies),
        ),
        trusted => Finding::ok(
            "proxies",
            message!(trusts_networks, count(trusted.len(), ["network", "个网段"])),
        ),
    }
}

/// Permissions of users who are neither the owner nor in the group: to read and to write.
const OF_ALL: u32 = 0o006;

/// Warns of a file with a secret that others can read. wxmint uses the file all the same.
fn exposed((variable, path): (String, PathBuf)) -> Option<Finding> {
    let exposed = secret_files::exposed(&path, OF_ALL).ok()??;
    let found = message!("{}: {}", variable, Message::from(&exposed));
    Some(Finding::warning(
        "files",
        found,
        exposed.cure(None).unwrap_or_default(),
    ))
}

fn apps(source: &AppsSource) -> Vec<Finding> {
    let files = source.files_in_folder();
    let copies = files
        .iter()
        .filter(|path| path.file_name().is_some_and(is_copy))
        .map(|path| {
            let found = message!(copy_of_editor_is_ignored, path.display(), IGNORED);
            Finding::warning("files", found, message!(remove_it_because_it_may_hold))
        });
    exposed_apps(&files).into_iter().chain(copies).collect()
}

fn exposed_apps(files: &[PathBuf]) -> Option<Finding> {
    let exposed: Vec<_> = files
        .iter()
        .filter(|path| secret_files::exposed(path, OF_ALL).is_ok_and(|exposed| exposed.is_some()))
        .collect();
    let folder = exposed.first()?.parent()?.display();
    let found = message!(apps_are_exposed, count(exposed.len(), ["file", "个文件"]));
    Some(Finding::warning(
        "files",
        found,
        message!(run_chmod_600_on_all, folder),
    ))
}

/// Checks whether the file of audit events could be written. Does not create it.
fn audit(audit: &Audit) -> Option<Finding> {
    let Audit::File(path) = audit else {
        return None;
    };
    let fault = |found, advice| Some(Finding::fault("files", found, advice));
    if path.is_symlink() && !is_ours(path).unwrap_or_default() {
        return fault(
            message!(audit_is_foreign_link, path.display(), FOREIGN_LINK),
            message!(replace_link),
        );
    }
    let place = match path.read_link() {
        Ok(target) => folder_of(path).join(target),
        Err(_) => path.clone(),
    };
    let is_no_file = place.metadata().is_ok_and(|place| {
        let kind = place.file_type();
        kind.is_dir() || kind.is_socket() || kind.is_block_device()
    });
    if is_no_file {
        return fault(
            message!(audit_is_no_file, path.display()),
            message!(name_file),
        );
    }
    let place = if place.exists() {
        &place
    } else {
        folder_of(&place)
    };
    let writable = rustix::fs::access(place, rustix::fs::Access::WRITE_OK).err()?;
    fault(
        format!("WXMINT_AUDIT: {}: {writable}", place.display()).into(),
        message!(make_it, place.display()),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{lchown, symlink};

    use super::*;
    use crate::findings::Status;

    #[test]
    fn a_link_that_the_file_of_audit_events_may_not_be_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let [target, link] = ["target", "link"].map(|name| folder.path().join(name));
        symlink(&target, &link).expect("a link");
        let found = || {
            audit(&Audit::File(link.clone()))
                .map(|finding| finding.found.to_string())
                .unwrap_or_default()
        };
        assert_eq!(found(), "");
        // Only root can change the owner of a file.
        if lchown(&link, Some(65534), None).is_ok() {
            assert!(
                found().contains(&format!("{}: is a link", link.display())),
                "{}",
                found()
            );
        }
    }

    #[test]
    fn what_no_line_can_be_written_to_is_found_in_place_of_the_file_of_audit_events() {
        let folder = tempfile::tempdir().expect("a folder");
        let [socket, dangling, chained, there] =
            ["socket", "dangling", "chained", "there"].map(|name| folder.path().join(name));
        let _socket = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
        symlink(folder.path().join("nowhere/file"), &dangling).expect("a link");
        symlink("./there", &chained).expect("a link");
        for (path, words) in [
            (folder.path(), "is a folder, a socket or a disk"),
            (&socket, "is a folder, a socket or a disk"),
            (&dangling, "nowhere: No such file"),
            (&chained, ""),
            (&there, ""),
            (std::path::Path::new("/dev/null"), ""),
        ] {
            let found = audit(&Audit::File(path.into()));
            assert!(found.is_none() == words.is_empty(), "{found:?}");
            assert!(
                found.is_none_or(|found| found.found.contains(words) && !found.advice.is_empty()),
                "{words}"
            );
        }
    }

    #[test]
    fn proxies_are_judged_by_whom_they_believe() {
        let status = |networks: &[&str], issuer| {
            let networks: Vec<_> = networks
                .iter()
                .map(|network| network.parse().expect("a network"))
                .collect();
            proxies(&networks, issuer).status
        };
        assert_eq!(status(&[], "https://login.example.com"), Status::Warning);
        assert_eq!(status(&[], "http://127.0.0.1:8080"), Status::Ok);
        assert_eq!(
            status(&["10.0.0.0/8"], "https://login.example.com"),
            Status::Ok
        );
        assert_eq!(
            status(&["10.0.0.0/8", "::/0"], "https://login.example.com"),
            Status::Warning
        );
    }
}
