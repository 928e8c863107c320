//! The configured mini programs: which one a login means, and their AppSecrets, which may change.

mod files;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use wxmint_ids::AppId;
use wxmint_wechat::App;

use self::files::{Found, names_in};

/// Where the mini programs are configured.
#[derive(Debug, Clone)]
pub enum AppsSource {
    /// `WXMINT_APPID` and `WXMINT_APP_SECRET`, or the file with the secret, which is read again when it changes.
    One {
        app: App,
        /// `WXMINT_APP_SECRET_FILE`
        secret_file: Option<PathBuf>,
    },
    /// `WXMINT_APPS_DIR`: a file for each mini program. Its name is the AppID and its content the AppSecret.
    Folder(PathBuf),
    /// Given by the program itself and in no file, as in the demo.
    Given(Vec<App>),
}

/// The mini programs in use at one time, at least one.
#[derive(Debug)]
pub struct Apps(BTreeMap<AppId, App>);

/// Why it is unclear which mini program a login means. The text is for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnknownApp {
    /// The named mini program is not configured.
    #[error("`appid` names a mini program that is not configured here.")]
    NotConfigured,
    /// Several are configured and none was named.
    #[error("Several mini programs are configured here: name one in `appid`.")]
    Several,
}

impl Apps {
    fn new(apps: impl IntoIterator<Item = App>) -> Option<Self> {
        let apps: BTreeMap<_, _> = apps.into_iter().map(|app| (app.id.clone(), app)).collect();
        (!apps.is_empty()).then_some(Self(apps))
    }

    /// Chooses the `wanted` mini program; if none is wanted, the one of the `hint` if it is configured; otherwise the
    /// only one.
    pub fn choose(&self, wanted: Option<&AppId>, hint: Option<&AppId>) -> Result<&App, UnknownApp> {
        match wanted {
            Some(id) => self.0.get(id).ok_or(UnknownApp::NotConfigured),
            None => hint.and_then(|id| self.0.get(id)).or_else(|| self.only()).ok_or(UnknownApp::Several),
        }
    }

    fn only(&self) -> Option<&App> {
        self.0.values().next().filter(|_| self.0.len() == 1)
    }

    /// All of them, in the order of their AppIDs.
    pub fn iter(&self) -> impl Iterator<Item = &App> {
        self.0.values()
    }

    /// The AppIDs, separated by spaces, for the log.
    pub fn names(&self) -> String {
        names(self.0.values())
    }
}

fn warn_of_unusual<'a>(apps: impl Iterator<Item = &'a App>) {
    for app in apps.filter(|app| !app.id.is_usual()) {
        tracing::warn!(appid = %app.id, "this AppID does not look like WeChat's: wx and 16 hexadecimal digits");
    }
}

fn names<'a>(apps: impl Iterator<Item = &'a App>) -> String {
    apps.map(|app| app.id.as_str()).collect::<Vec<_>>().join(" ")
}

/// The mini program that a `Referer` names. WeChat sends `https://servicewechat.com/{appid}/{version}/page-frame.html`
/// with every request of a mini program, and no other form is accepted. Anyone can forge it, so it is a hint and no
/// proof.
pub fn app_of_referer(referer: &str) -> Option<AppId> {
    let mut parts = referer.strip_prefix("https://servicewechat.com/")?.split('/');
    let (id, version) = (parts.next()?, parts.next()?);
    let is_version = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_frame = parts.next() == Some("page-frame.html") && parts.next().is_none();
    if is_version && is_frame { id.parse().ok() } else { None }
}

/// Holds the mini programs in use and reads their files again. All workers share it; a login keeps the values that it
/// has taken.
pub struct CurrentApps {
    source: AppsSource,
    in_use: ArcSwap<Apps>,
}

impl CurrentApps {
    /// Reads a source for the first time. Any fault is an error, which names the file without its content.
    pub fn read(source: AppsSource) -> Result<Self, String> {
        let Found { apps, faults } = source.find(None)?;
        match Apps::new(apps) {
            Some(apps) if faults.is_empty() => Ok(Self { source, in_use: ArcSwap::from_pointee(apps) }),
            _ => Err(faults.join("; ")),
        }
    }

    pub fn all(&self) -> Arc<Apps> {
        self.in_use.load_full()
    }

    /// Logs a warning for each AppID that does not look like WeChat's.
    pub fn warn_of_unusual(&self) {
        warn_of_unusual(self.all().0.values());
    }

    /// Whether there are files to read again.
    pub fn may_change(&self) -> bool {
        matches!(self.source, AppsSource::One { secret_file: Some(_), .. } | AppsSource::Folder(_))
    }

    /// Reads the files again. Valid apps are put in use, an app whose file is gone is removed, and an app whose file is
    /// invalid keeps its AppSecret. The last app is never removed. Returns whether the apps in use have changed.
    ///
    /// # Errors
    /// The invalid files and what is wrong with them, without their content.
    pub fn reload(&self) -> Result<bool, String> {
        let before = self.all();
        let Found { apps, faults } = self.source.find(Some(&before))?;
        let changed = Apps::new(apps).is_some_and(|apps| self.put(&before, apps));
        if faults.is_empty() { Ok(changed) } else { Err(faults.join("; ")) }
    }

    fn put(&self, before: &Apps, apps: Apps) -> bool {
        let without = |these: &Apps, those: &Apps| names(these.0.values().filter(|app| !those.0.contains_key(&app.id)));
        let (added, removed) = (without(&apps, before), without(before, &apps));
        let rotated = names(apps.0.values().filter(|app| before.0.get(&app.id).is_some_and(|old| !are_same(old, app))));
        if added.is_empty() && removed.is_empty() && rotated.is_empty() {
            return false;
        }
        warn_of_unusual(apps.0.values().filter(|app| !before.0.contains_key(&app.id)));
        self.in_use.store(Arc::new(apps));
        tracing::info!(added, removed, rotated, "the mini programs have changed");
        true
    }
}

impl AppsSource {
    /// The files of the folder, if there is one.
    pub fn files_in_folder(&self) -> Vec<PathBuf> {
        let Self::Folder(folder) = self else { return Vec::new() };
        let names = names_in(folder).unwrap_or_default();
        names.into_iter().map(|name| folder.join(name)).collect()
    }

    /// Finds the apps to use; `known` are those in use. The settings have read the file of a single app before there are any.
    fn find(&self, known: Option<&Apps>) -> Result<Found, String> {
        let mut found = Found::default();
        match self {
            Self::Folder(folder) => return Found::in_folder(folder, known),
            Self::One { app, secret_file: Some(file) } if known.is_some() => found.add(app.id.clone(), file, known),
            Self::One { app, .. } => found.apps.push(app.clone()),
            Self::Given(apps) => found.apps.clone_from(apps),
        }
        Ok(found)
    }
}

fn are_same(one: &App, other: &App) -> bool {
    one.id == other.id && one.secret.expose() == other.secret.expose()
}
