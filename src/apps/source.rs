//! Where the configured apps come from, and how the apps in use change when their files do.

use std::{path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use wxmint_ids::Platform;
use wxmint_wechat::App;

use super::files::{Found, names_in};
use super::{Apps, Configured, CurrentApps, names};
use crate::findings::Message;

/// Where the configured apps come from.
#[derive(Debug, Clone)]
pub enum AppsSource {
    /// `WXMINT_APPID` and `WXMINT_APP_SECRET`, or the file with the secret, which is read again
    /// when it changes.
    One {
        app: App,
        secret_file: Option<PathBuf>,
    },
    /// `WXMINT_APPS_DIR`: a file for each app. Its name is the AppID and its content the AppSecret,
    /// or JSON.
    Folder(PathBuf),
    /// Given by the program itself and in no file, as in the demo. Empty if all apps come from
    /// elsewhere.
    Given(Vec<App>),
}

#[derive(Default)]
pub(super) struct LastKnown {
    /// The apps without an AppSecret, for which a third party acts.
    from_elsewhere: Vec<App>,
    /// The result of the last look at the files, unless it failed.
    files: Option<Found>,
    /// The files that are no apps, so that each is logged once.
    ignored: Vec<PathBuf>,
}

impl CurrentApps {
    /// Reads a source for the first time. Any fault is an error, which names the file without its
    /// content.
    pub fn read(source: AppsSource) -> Result<Self, Message> {
        let Found { apps, faults, .. } = source.find(None)?;
        if !faults.is_empty() {
            return Err(faults.into_iter().collect());
        }
        let apps = Apps::new(apps);
        warn_of_unusual(apps.iter());
        Ok(Self {
            source,
            in_use: ArcSwap::from_pointee(apps),
            known: Mutex::default(),
        })
    }

    /// Puts these apps in use, for which a third-party platform acts, in place of the previous ones.
    /// An app that a file configures stays as it is.
    pub fn from_elsewhere_are(&self, apps: impl IntoIterator<Item = App>) {
        let mut known = self.known.lock();
        known.from_elsewhere = apps.into_iter().collect();
        let before = self.all();
        let own = before
            .0
            .values()
            .filter(|configured| !configured.app.is_of_component())
            .cloned();
        self.put(
            &before,
            Apps::new(
                known
                    .from_elsewhere
                    .iter()
                    .cloned()
                    .map(Configured::from)
                    .chain(own),
            ),
        );
    }

    /// Whether there are files to read again.
    pub fn may_change(&self) -> bool {
        matches!(
            self.source,
            AppsSource::One {
                secret_file: Some(_),
                ..
            } | AppsSource::Folder(_)
        )
    }

    /// Reads the files again. Valid apps are put in use, an app whose file is gone is removed, and
    /// an app whose file is invalid keeps its AppSecret. The last app is never removed. Returns
    /// whether the apps in use have changed; `None` until two reads in a row agree.
    ///
    /// # Errors
    /// The invalid files and what is wrong with them, without their content.
    pub fn reload(&self) -> Result<Option<bool>, String> {
        let mut known = self.known.lock();
        let before = self.all();
        let found = self
            .source
            .find(Some(&before))
            .inspect_err(|_| known.files = None)?;
        if known.files.replace(found.clone()).as_ref() != Some(&found) {
            return Ok(None);
        }
        let Found {
            apps,
            faults,
            ignored,
        } = found;
        if known.ignored != ignored {
            for file in &ignored {
                tracing::warn!(file = %file.display(), "{IGNORED}");
            }
            known.ignored = ignored;
        }
        let others = known.from_elsewhere.iter().cloned().map(Configured::from);
        let changed = !apps.is_empty() && self.put(&before, Apps::new(others.chain(apps)));
        if faults.is_empty() {
            Ok(Some(changed))
        } else {
            Err(faults.into_iter().collect::<Message>().into())
        }
    }

    fn put(&self, before: &Apps, apps: Apps) -> bool {
        let without = |these: &Apps, those: &Apps| {
            names(these.iter().filter(|app| !those.0.contains_key(&app.id)))
        };
        let added = without(&apps, before);
        let removed = without(before, &apps);
        let rotated = names(
            apps.0
                .values()
                .filter(|new| before.0.get(&new.app.id).is_some_and(|old| old != *new))
                .map(|configured| &configured.app),
        );
        if added.is_empty() && removed.is_empty() && rotated.is_empty() {
            return false;
        }
        warn_of_unusual(apps.iter().filter(|app| !before.0.contains_key(&app.id)));
        let is_first_of_several = before.only().is_some() && apps.0.len() > 1;
        self.in_use.store(Arc::new(apps));
        tracing::info!(added, removed, rotated, "the apps have changed");
        if is_first_of_several {
            tracing::warn!("{SEVERAL}");
        }
        true
    }
}

impl AppsSource {
    /// The paths of the files in the folder of `WXMINT_APPS_DIR`; empty for other sources.
    pub fn files_in_folder(&self) -> Vec<PathBuf> {
        let Self::Folder(folder) = self else {
            return Vec::new();
        };
        names_in(folder)
            .unwrap_or_default()
            .into_iter()
            .map(|name| folder.join(name))
            .collect()
    }

    /// Finds the apps to use. `known` are the apps in use; `None` at the start, when the settings
    /// have already read the file of a single app.
    fn find(&self, known: Option<&Apps>) -> Result<Found, Message> {
        let mut found = Found::default();
        match self {
            Self::Folder(folder) => return Found::in_folder(folder, known),
            Self::One {
                app,
                secret_file: Some(file),
            } if known.is_some() => found.add(app.id.clone(), file, known),
            Self::One { app, .. } => found.apps.push(app.clone().into()),
            Self::Given(apps) => found
                .apps
                .extend(apps.iter().cloned().map(Configured::from)),
        }
        Ok(found)
    }
}

const SEVERAL: &str = "several apps are configured now: a login that names none in `appid` is refused with app_required, unless its Referer \
                       is that of a mini program";
pub const IGNORED: &str = "is ignored, because its name is that of a copy which an editor has left";

fn warn_of_unusual<'a>(apps: impl Iterator<Item = &'a App>) {
    let of_wechat = apps.filter(|app| app.platform() == Platform::WeChat);
    for app in of_wechat.filter(|app| !app.id.is_usual()) {
        tracing::warn!(appid = %app.id, "this AppID does not look like WeChat's: wx and 16 hexadecimal digits");
    }
}
