//! The file `.env` in the working directory. A variable of the environment overrides the file, even
//! if it is empty.
//!
//! Only wxmint's own variables, those of OpenTelemetry and `RUST_LOG` are taken. A folder's `.env`
//! is often another program's, and a variable such as `KUBECONFIG` from a stranger's folder could
//! start a program of theirs.

use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::{env, sync::OnceLock};

use rustix::{fs::OFlags, process::geteuid};

use super::table::declared;
use crate::findings::{Finding, Message};
use crate::secret_files::BYTE_ORDER_MARK;

pub const NAME: &str = ".env";
/// The most bytes of the file, many times as many as an example file has.
const LARGEST: u64 = 256 * 1024;

/// The finding if something about the loaded file is unusual.
pub static NOTE: OnceLock<Finding> = OnceLock::new();

/// Whether the working directory has no `.env`.
pub fn is_missing() -> bool {
    matches!(fs::symlink_metadata(NAME), Err(error) if error.kind() == ErrorKind::NotFound)
}

/// Sets the variables that `.env` has and the environment lacks. The error has each fault, without
/// any value. Must run while the process has one thread, because another thread could read the
/// environment meanwhile.
pub fn load() -> Result<(), Vec<Message>> {
    let (text, file) = match read() {
        Err(_) if is_missing() => return Ok(()),
        // systemd may have read the file as root, and then the environment has its variables.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let found = message!(in_working_directory_is_not_used, NAME, error);
            _ = NOTE.set(Finding::warning(
                "settings",
                found,
                message!(chown_it_if_it_is_yours),
            ));
            return Ok(());
        }
        Err(error) => return Err(vec![format!("{NAME} {error}").into()]),
        Ok(found) => found,
    };
    let pairs = parse(&text)?;
    if let Some(note) = exposure(&file, &pairs) {
        _ = NOTE.set(note);
    }
    let missing = pairs
        .iter()
        .filter(|(name, _)| is_taken(name) && !is_decided(name));
    let missing: String = missing
        .map(|(name, value)| format!("{name}={}\n", quoted(value)))
        .collect();
    dotenvy::from_read(missing.as_bytes()).map_err(|_| vec![message!(file_cannot_be_read, NAME)])
}

/// Reads the file. A file or link of another user is not used: in `/tmp`, or in a folder of that
/// user, it could make a command of root send the AppSecret of the environment to that user's
/// server.
fn read() -> io::Result<(String, Metadata)> {
    let link = fs::symlink_metadata(NAME)?;
    // Opened once, because the file may be replaced at any moment, and without waiting for the
    // writer of a pipe.
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(NAME)?;
    let file = opened.metadata()?;
    if let Some(owner) = [link.uid(), file.uid()]
        .into_iter()
        .find(|uid| ![0, geteuid().as_raw()].contains(uid))
    {
        let reason = format!("it belongs to uid {owner}, who is neither you nor root");
        return Err(io::Error::new(ErrorKind::PermissionDenied, reason));
    }
    if !file.is_file() || file.len() > LARGEST {
        return Err(io::Error::other("is not a regular file of at most 256 KiB"));
    }
    let text = io::read_to_string(opened.take(LARGEST))
        .ok()
        .filter(|text| !text.contains('\0'));
    Ok((
        text.ok_or_else(|| io::Error::other("is not text in UTF-8"))?,
        file,
    ))
}

/// Whether others can read a secret, or change what wxmint does.
fn exposure(file: &Metadata, pairs: &[(String, String)]) -> Option<Finding> {
    let has_secret = pairs
        .iter()
        .any(|(name, value)| !value.is_empty() && is_secret(name));
    let mode = file.mode() & 0o777;
    let is_open = mode & if has_secret { 0o077 } else { 0o022 } != 0;
    let found = message!(others_can_read, NAME, format_args!("{mode:04o}"));
    is_open.then(|| Finding::warning("settings", found, message!(chmod_600)))
}

fn is_secret(name: &str) -> bool {
    // A value that may also stand in a file is a secret, or contains one.
    declared().any(|setting| setting.may_be_in_file && setting.name == name)
        || name == "OTEL_EXPORTER_OTLP_HEADERS"
}

fn is_taken(name: &str) -> bool {
    // In upper or lower case, so that a name in lower case is warned about like one in the
    // environment.
    name.to_ascii_uppercase().starts_with("WXMINT_")
        || name.starts_with("OTEL_")
        || name == "RUST_LOG"
}

/// Whether the environment has the variable, or the same one in its other form: `X_FILE` for `X`,
/// one mini program for the folder of them, and the reverse.
fn is_decided(name: &str) -> bool {
    let other = match name.strip_suffix("_FILE") {
        Some(without) => without.to_owned(),
        None => format!("{name}_FILE"),
    };
    let has = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let has_another = match name {
        "WXMINT_APPS_DIR" => {
            has("WXMINT_APPID") && (has("WXMINT_APP_SECRET") || has("WXMINT_APP_SECRET_FILE"))
        }
        "WXMINT_APPID" | "WXMINT_APP_SECRET" | "WXMINT_APP_SECRET_FILE" => has("WXMINT_APPS_DIR"),
        _ => false,
    };
    env::var_os(name).is_some() || has(&other) || has_another
}

/// The variables of a file's text, in their order. dotenvy does not read them, because it expands
/// `$NAME`, which would change a password.
fn parse(text: &str) -> Result<Vec<(String, String)>, Vec<Message>> {
    let mut pairs = Vec::<(String, String)>::new();
    let mut faults = Vec::new();
    for (number, line) in (1..).zip(text.trim_start_matches(BYTE_ORDER_MARK).lines()) {
        match pair(line) {
            Some((name, _))
                if is_taken(&name) && pairs.iter().any(|(earlier, _)| *earlier == name) =>
            {
                faults.push(message!(line_sets_it_a_second_time, NAME, number, name));
            }
            Some(pair) => pairs.push(pair),
            None if is_meant(line) => faults.push(message!(line_is_no_variable, NAME, number)),
            None => {}
        }
    }
    if faults.is_empty() {
        Ok(pairs)
    } else {
        Err(faults)
    }
}

fn is_meant(line: &str) -> bool {
    let is_comment = line.trim_start().starts_with('#');
    let names_one = ["WXMINT_", "OTEL_", "RUST_LOG"]
        .iter()
        .any(|name| line.contains(name));
    !is_comment && names_one
}

/// `NAME=value`, or `export NAME=value`.
fn pair(line: &str) -> Option<(String, String)> {
    let (name, value) = line.trim().split_once('=')?;
    let name = name.strip_prefix("export ").unwrap_or(name).trim();
    let is_name = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    Some((name.to_owned(), unquoted(value.trim_start())?)).filter(|_| is_name)
}

/// A value without its quotation marks, as a shell reads it. `None` if a quotation is not closed,
/// or if anything but a comment follows.
fn unquoted(text: &str) -> Option<String> {
    // The `=` stays in front of the value, because a `#` at the beginning of a word begins a
    // comment.
    let mut words = shlex::split(&format!("={text}"))?;
    (words.len() == 1).then(|| words.remove(0).split_off(1))
}

/// A value as `unquoted`, dotenvy and a shell read it. A backslash is written outside of the
/// quotation marks, because dotenvy, when it looks for the end of a line, treats a backslash as if
/// it escaped the quotation mark behind it.
pub fn quoted(value: &str) -> String {
    let is_plain = value
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_./:@%+,=".contains(&byte));
    if !value.is_empty() && is_plain {
        return value.to_owned();
    }
    let escaped = value.chars().map(|it| {
        if matches!(it, '\'' | '\\') {
            format!("'\\{it}'")
        } else {
            it.into()
        }
    });
    format!("'{}'", escaped.collect::<String>())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::settings::example::chinese;

    fn line(text: &str) -> String {
        match parse(text) {
            Ok(pairs) => format!("{pairs:?}"),
            Err(faults) => faults.into_iter().collect::<Message>().into(),
        }
    }

    proptest! {
        #[test]
        fn every_value_is_read_as_it_was_written(value in "[^\0\n]*", other in r#"[\\'"$# \r{}a`]*"#) {
            let pairs = [("WXMINT_KEYS", value), ("WXMINT_REDIS_URL", other)];
            let read = parse(&chinese(Some(&pairs.clone().into()))).expect("what was written");
            for (name, value) in pairs {
                prop_assert_eq!(read.iter().filter(|(known, _)| known == name).collect::<Vec<_>>(), [&(name.to_owned(), value)]);
            }
        }

        #[test]
        fn no_text_is_too_much_and_no_fault_quotes_it(text in "(WXMINT_A|RUST_LOG|X|=|'|\"|\\\\|\\$|#| |\n|hunter2)*") {
            if let Err(faults) = parse(&text) {
                prop_assert!(!faults.into_iter().collect::<Message>().contains("hunter2"));
            }
        }
    }

    #[test]
    fn a_fault_is_told_with_its_line() {
        for (text, number) in [
            ("# a\n\nWXMINT_KEYS\n", 3),
            ("WXMINT_KEYS=a b\n", 1),
            ("A=1\nB='x\ny'\nexport WXMINT_KEYS=a \\b\nC=1", 4),
            ("A=1\nWXMINT_KEYS='a\nB=2\n\n", 2),
            ("A=1\r\nWXMINT_KEYS=a b", 2),
        ] {
            assert!(
                line(text).starts_with(&format!(".env, line {number}: is not NAME=value")),
                "{text:?}: {}",
                line(text)
            );
        }
        let twice = line("WXMINT_KEYS=a\nA=1\nA=2\nWXMINT_KEYS='b'\nWXMINT_APPID\n");
        assert!(
            twice.starts_with(
                ".env, line 4: sets WXMINT_KEYS a second time (remove one of the two lines); .env, line 5: is not"
            ),
            "{twice}"
        );
        assert_eq!(
            line("NOT OURS\nA=b c\n\u{feff}\n"),
            "[]",
            "another program's lines"
        );
        assert_eq!(
            line("A='a$b\\$'\nB=\"$A\"c${A}$$"),
            r#"[("A", "a$b\\$"), ("B", "$Ac${A}$$")]"#
        );
        assert_eq!(line("A=\"x\\$B\\$\"\\$\\\\$B"), r#"[("A", "x$B$$\\$B")]"#);
        assert_eq!(
            line("\u{feff}A=1 # it's\nB= \nC=x#y"),
            r#"[("A", "1"), ("B", ""), ("C", "x#y")]"#
        );
        assert_eq!(line("A=#y"), "[(\"A\", \"#y\")]");
    }
}
