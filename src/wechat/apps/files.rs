//! The files that hold AppSecrets. An error names the file and never repeats its content.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::Apps;
use crate::{
    ids::AppId,
    wechat::{App, AppSecret},
};

/// More bytes than any AppSecret has, so that a large file that was put there by mistake is not read to its end.
const MOST_BYTES: u64 = 1024;
/// The value in the Kubernetes manifests that the operator has to replace.
const PLACEHOLDER: &str = "REPLACE-ME";

/// What is wrong with one file or with the folder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path} {wrong}", path = .path.display())]
pub struct AppFault {
    path: PathBuf,
    wrong: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct AppFaults(pub(super) Vec<AppFault>);

impl From<AppFault> for AppFaults {
    fn from(fault: AppFault) -> Self {
        Self(vec![fault])
    }
}

impl AppFault {
    fn new(path: &Path, wrong: impl Into<String>) -> Self {
        Self { path: path.to_owned(), wrong: wrong.into() }
    }

    fn unreadable(path: &Path, error: &io::Error) -> Self {
        Self::new(path, format!("cannot be read: {error}"))
    }

    pub(super) fn nothing_in(folder: &Path) -> Self {
        Self::new(
            folder,
            "holds no mini program: put a file there whose name is the AppID and whose content is the AppSecret",
        )
    }
}

/// The apps that were found, and the faults.
#[derive(Default)]
pub(super) struct Found {
    apps: Vec<FoundApp>,
    /// The faults of files that are not named by an AppID.
    faults: Vec<AppFault>,
}

struct FoundApp {
    id: AppId,
    path: PathBuf,
    secret: Result<AppSecret, AppFault>,
}

impl Found {
    /// Apps that are in no file.
    pub(super) fn given(apps: impl IntoIterator<Item = App>) -> Self {
        let found = |app: App| FoundApp { id: app.id, path: PathBuf::new(), secret: Ok(app.secret) };
        Self { apps: apps.into_iter().map(found).collect(), faults: Vec::new() }
    }

    pub(super) fn in_file(id: &AppId, path: &Path) -> Self {
        let app = FoundApp { id: id.clone(), path: path.to_owned(), secret: read(path) };
        Self { apps: vec![app], faults: Vec::new() }
    }

    /// Reads each file of the folder, except those whose name begins with a dot, which editors and Kubernetes
    /// (`..data`) put there.
    pub(super) fn in_folder(folder: &Path) -> Result<Self, AppFault> {
        let unreadable = |error: io::Error| AppFault::unreadable(folder, &error);
        let mut found = Self::default();
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let name = entry.map_err(unreadable)?.file_name();
            if !name.as_encoded_bytes().starts_with(b".") {
                found.take(&folder.join(&name), &name);
            }
        }
        // Sorted because a folder has no order, and a fault that is logged only once must have the same text each time.
        found.apps.sort_by(|one, other| one.id.cmp(&other.id));
        found.faults.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(found)
    }

    fn take(&mut self, path: &Path, name: &OsStr) {
        match name.to_str().and_then(|name| name.parse().ok()) {
            Some(id) => self.apps.push(FoundApp { id, path: path.to_owned(), secret: read(path) }),
            None => self.faults.push(AppFault::new(
                path,
                "is not named by an AppID; remove it, or begin its name with a dot so that it is ignored",
            )),
        }
    }

    /// The apps, each with the secret from its file, or with the known one if the file is invalid.
    pub(super) fn or_known(self, known: Option<&Apps>) -> (Vec<App>, Vec<AppFault>) {
        let (mut apps, mut faults) = (Vec::new(), self.faults);
        for FoundApp { id, path, secret } in self.apps {
            let known = known.and_then(|apps| apps.0.get(&id)).map(|app| app.secret.clone());
            match secret.and_then(|secret| whole(&path, secret, known.as_ref())) {
                Ok(secret) => apps.push(App { id, secret }),
                Err(fault) => {
                    faults.push(fault);
                    apps.extend(known.map(|secret| App { id, secret }));
                }
            }
        }
        (apps, faults)
    }
}

/// Refuses a secret that is shorter than the previous one: the file is only half written, because all AppSecrets have
/// one length.
fn whole(path: &Path, secret: AppSecret, known: Option<&AppSecret>) -> Result<AppSecret, AppFault> {
    let is_shorter = known.is_some_and(|known| secret.expose().len() < known.expose().len());
    let half =
        "is shorter than the AppSecret in use, as if only half had been written; if it is complete, restart wxmint";
    if is_shorter { Err(AppFault::new(path, half)) } else { Ok(secret) }
}

fn read(path: &Path) -> Result<AppSecret, AppFault> {
    let content = read_file(path).map_err(|error| AppFault::unreadable(path, &error))?;
    let text = str::from_utf8(&content).unwrap_or_default().trim_end_matches(['\n', '\r']);
    if text.contains(PLACEHOLDER) {
        return Err(AppFault::new(path, "still holds its placeholder"));
    }
    let wanted = "must hold the AppSecret that WeChat shows, 32 hexadecimal digits, and nothing else";
    text.parse().map_err(|_| AppFault::new(path, wanted))
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
