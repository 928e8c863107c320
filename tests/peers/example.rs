//! One of examples/peers, running.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use serde_json::Value;
use tempfile::TempDir;

use crate::raw::{LONGEST, Request};
use crate::support::{PATIENCE, Process, repository, until};

/// Where a running example is, and what is expected of it.
#[derive(Debug, Clone)]
pub(crate) struct Example {
    /// Its folder below examples/peers.
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) protected: &'static str,
    /// Wants none. None where nothing is public.
    pub(crate) public: Option<&'static str>,
    /// Statuses by which it refuses besides 401 and 403; 500 where it cannot do better.
    pub(crate) also_refuses_by: Vec<u16>,
    /// Within this it must have answered, whatever is wrong with the rest of the world.
    pub(crate) longest: Duration,
}

impl Example {
    /// On 127.0.0.1, with `/orders` and `/public/hello`.
    pub(crate) fn new(name: &'static str, port: u16) -> Self {
        let address = ([127, 0, 0, 1], port).into();
        let (protected, public) = ("/orders", Some("/public/hello"));
        Self {
            name,
            address,
            protected,
            public,
            also_refuses_by: Vec::new(),
            longest: LONGEST,
        }
    }
}

/// The answers to a token.
impl Example {
    pub(crate) async fn status(&self, token: &str) -> Option<u16> {
        let request = Request::get(self.protected).bearer(token);
        Some(
            request
                .send_within(self.address, Duration::from_secs(5))
                .await
                .ok()?
                .status,
        )
    }

    /// A reload may take a moment.
    pub(crate) async fn becomes(&self, token: &str, status: u16, what: &str) {
        let what = format!("examples/peers/{}, {what}: {status}", self.name);
        until(&what, PATIENCE, async || {
            self.status(token).await == Some(status)
        })
        .await;
    }
}

/// An example as a process of its own, in a copy of its folder.
pub(crate) struct Started {
    pub(crate) example: Example,
    pub(crate) _process: Process,
    pub(crate) folder: TempDir,
}

/// A copy of examples/peers/`name`, in which the addresses that it documents are those of a test, and nothing else is
/// changed. Each address must occur.
pub(crate) fn example_folder(name: &str, addresses: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    copy_example(name, addresses, folder.path());
    folder
}

/// The same to a folder that is there.
pub(crate) fn copy_example(name: &str, addresses: &[(&str, &str)], to: &Path) {
    copy_folders(&[(&format!("examples/peers/{name}"), to)], addresses);
}

/// Folders of the repository, each to one that is there. Each address must occur in one of them.
pub(crate) fn copy_folders(folders: &[(&str, &Path)], addresses: &[(&str, &str)]) {
    for (_, new) in addresses {
        let again = addresses.iter().find(|(old, _)| new.contains(old));
        assert!(
            again.is_none(),
            "{new} would be replaced in its turn: {again:?}"
        );
    }
    let mut occurs = vec![false; addresses.len()];
    for (from, to) in folders {
        copy(&repository(from), to, addresses, &mut occurs);
    }
    for ((old, _), occurs) in addresses.iter().zip(occurs) {
        assert!(occurs, "{old} does not occur in {folders:?}");
    }
}

fn copy(from: &Path, to: &Path, addresses: &[(&str, &str)], occurs: &mut [bool]) {
    for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
        let entry = entry.expect("a directory entry");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.ends_with("target") {
            continue;
        }
        if from.is_dir() {
            fs::create_dir(&to).expect("a new folder");
            copy(&from, &to, addresses, occurs);
            continue;
        }
        // Keeps the mode, for scripts.
        fs::copy(&from, &to).expect("a copy");
        let mut text = fs::read_to_string(&from).expect("text");
        for ((old, new), occurs) in addresses.iter().zip(&mut *occurs) {
            // The words of a page are not what a program reads.
            *occurs |=
                text.contains(old) && from.extension().is_none_or(|extension| extension != "md");
            text = text.replace(old, new);
        }
        fs::write(&to, text).expect("written");
    }
}

/// A reader installs what is tested: each package that `shown` pins is pinned so in `tested`, both as requirements.txt
/// or both as package.json.
pub(crate) fn installs_what_is_tested(shown: &str, tested: &str) {
    let [shown, tested] = [shown, tested]
        .map(|file| pins(&fs::read_to_string(repository(file)).expect("our own file")));
    assert!(!shown.is_empty(), "nothing is pinned");
    for pin in shown {
        assert!(tested.contains(&pin), "{pin} is not what is tested");
    }
}

fn pins(file: &str) -> Vec<String> {
    match serde_json::from_str::<Value>(file) {
        Ok(package) => {
            let dependencies = package["dependencies"].as_object().expect("dependencies");
            dependencies
                .iter()
                .map(|(name, version)| format!("{name} {version}"))
                .collect()
        }
        Err(_) => {
            let pinned = file.lines().filter(|line| line.contains("=="));
            // Extras are listed with the rest where packages are installed without their dependencies.
            pinned.map(|line| line.replace("[crypto]", "")).collect()
        }
    }
}
