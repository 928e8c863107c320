//! The files that hold AppSecrets. An error names the file and never repeats its content.

use std::{
    ffi::OsString,
    fmt,
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use wxmint_ids::AppId;
use wxmint_wechat::{App, AppSecret};
use zeroize::Zeroizing;

use super::Apps;

/// More bytes than any AppSecret has, so that a large file that was put there by mistake is not read to its end.
const MOST_BYTES: u64 = 1024;
/// The value in the Kubernetes manifests that the operator has to replace.
const PLACEHOLDER: &str = "REPLACE-ME";

/// The apps that were found, and what is wrong with which file.
#[derive(Default)]
pub(super) struct Found {
    pub(super) apps: Vec<App>,
    pub(super) faults: Vec<String>,
}

impl Found {
    /// Reads the AppSecret of one app. If the file is invalid, the app keeps its secret among the `known` ones.
    pub(super) fn add(&mut self, id: AppId, path: &Path, known: Option<&Apps>) {
        let known = known.and_then(|apps| apps.0.get(&id)).map(|app| &app.secret);
        match read(path).and_then(|secret| whole(path, secret, known)) {
            Ok(secret) => self.apps.push(App { id, secret }),
            Err(fault) => {
                self.faults.push(fault);
                self.apps.extend(known.map(|secret| App { id, secret: secret.clone() }));
            }
        }
    }

    /// Reads each file of the folder, except those whose name begins with a dot, which editors and Kubernetes
    /// (`..data`) put there. Fails if the folder cannot be read.
    pub(super) fn in_folder(folder: &Path, known: Option<&Apps>) -> Result<Self, String> {
        let mut found = Self::default();
        for name in names_in(folder).map_err(|error| unreadable(folder, &error))? {
            let path = folder.join(&name);
            // The id of a page may have a dot, and an AppID has none: a copy that an editor has left is no app.
            match name.to_str().filter(|name| !name.contains('.')).and_then(|name| name.parse().ok()) {
                Some(id) => found.add(id, &path, known),
                None => found.faults.push(fault(
                    &path,
                    "is not named by an AppID; remove it, or begin its name with a dot so that it is ignored",
                )),
            }
        }
        if found.apps.is_empty() && found.faults.is_empty() {
            found.faults.push(fault(
                folder,
                "holds no mini program: put a file there whose name is the AppID and whose content is the AppSecret",
            ));
        }
        Ok(found)
    }
}

/// Sorted, because a folder has no order, and a fault that is logged only once must have the same text each time.
pub(super) fn names_in(folder: &Path) -> io::Result<Vec<OsString>> {
    let entries = fs::read_dir(folder)?;
    let mut names: Vec<OsString> = entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?;
    names.retain(|name| !name.as_encoded_bytes().starts_with(b"."));
    names.sort();
    Ok(names)
}

fn fault(path: &Path, wrong: impl fmt::Display) -> String {
    format!("{} {wrong}", path.display())
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    fault(path, format_args!("cannot be read: {error}"))
}

/// Refuses a secret that is shorter than the previous one: the file is only half written, because all AppSecrets have
/// one length.
fn whole(path: &Path, secret: AppSecret, known: Option<&AppSecret>) -> Result<AppSecret, String> {
    let is_shorter = known.is_some_and(|known| secret.expose().len() < known.expose().len());
    let half =
        "is shorter than the AppSecret in use, as if only half had been written; if it is complete, restart wxmint";
    if is_shorter { Err(fault(path, half)) } else { Ok(secret) }
}

fn read(path: &Path) -> Result<AppSecret, String> {
    let content = read_file(path).map_err(|error| unreadable(path, &error))?;
    let text = str::from_utf8(&content).unwrap_or_default().trim_end_matches(['\n', '\r']);
    if text.contains(PLACEHOLDER) {
        return Err(fault(path, "still holds its placeholder"));
    }
    let wanted = "must hold the AppSecret that WeChat shows, 32 hexadecimal digits, and nothing else";
    text.parse().map_err(|_| fault(path, wanted))
}

fn read_file(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    // Checked first, because opening a pipe waits for a writer.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut content = Zeroizing::new(Vec::with_capacity(MOST_BYTES as usize));
    File::open(path)?.take(MOST_BYTES).read_to_end(&mut content)?;
    Ok(content)
}
