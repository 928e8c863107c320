//! The configured apps: the app that a login means, and the sites whose pages may read the answers
//! to it.

mod files;
mod source;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use wxmint_ids::{AppId, Platform, UnionScope};
use wxmint_wechat::{App, AppExchanger, AppKind, PaymentKey};

pub use self::files::is_copy;
use self::source::LastKnown;
pub use self::source::{AppsSource, IGNORED};

/// An app, and the sites whose pages may read the answers to it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Configured {
    app: App,
    origins: Vec<String>,
    unionid_required: bool,
    payment_keys: PaymentKeys,
}

/// The keys of virtual payment that the app's file has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct PaymentKeys {
    production: Option<PaymentKey>,
    sandbox: Option<PaymentKey>,
}

impl From<App> for Configured {
    fn from(app: App) -> Self {
        Self {
            app,
            origins: Vec::new(),
            unionid_required: false,
            payment_keys: PaymentKeys::default(),
        }
    }
}

/// The apps in use at one time. There is at least one, unless all come from elsewhere, such as a
/// third-party platform.
#[derive(Debug)]
pub struct Apps(BTreeMap<AppId, Configured>);

/// Holds the apps in use and reads their files again. All workers share it. A login keeps using the
/// apps that it has loaded.
pub struct CurrentApps {
    source: AppsSource,
    in_use: ArcSwap<Apps>,
    /// Serializes changes of the apps, because files and apps from elsewhere may change at the same
    /// time.
    known: Mutex<LastKnown>,
}

/// Why it is unclear which app a login means. The text is for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnknownApp {
    #[error("`appid` names an app that is not configured here.")]
    NotConfigured,
    #[error("Several apps are configured here: send in `appid` which one this login is for.")]
    Several,
}

impl CurrentApps {
    /// The apps in use now.
    pub fn all(&self) -> Arc<Apps> {
        self.in_use.load_full()
    }
}

impl Apps {
    /// If two apps have the same AppID, the later one counts.
    fn new(apps: impl IntoIterator<Item = Configured>) -> Self {
        Self(
            apps.into_iter()
                .map(|configured| (configured.app.id.clone(), configured))
                .collect(),
        )
    }

    /// Chooses the `wanted` app; if none is wanted, the one of the `hint` if it is configured;
    /// otherwise the only one.
    pub fn choose(&self, wanted: Option<&AppId>, hint: Option<&AppId>) -> Result<&App, UnknownApp> {
        let chosen = match wanted {
            Some(id) => self.0.get(id).ok_or(UnknownApp::NotConfigured),
            None => hint
                .and_then(|id| self.0.get(id))
                .or_else(|| self.only())
                .ok_or(UnknownApp::Several),
        };
        chosen.map(|configured| &configured.app)
    }

    fn only(&self) -> Option<&Configured> {
        self.0.values().next().filter(|_| self.0.len() == 1)
    }

    /// Whether pages of this site may read what is answered to the app; to any app, if `id` is
    /// `None`.
    pub fn have_origin(&self, id: Option<&AppId>, origin: &str) -> bool {
        let mut own = self
            .0
            .iter()
            .filter(|(of, _)| id.is_none_or(|id| id == *of));
        own.any(|(_, configured)| configured.origins.iter().any(|own| own == origin))
    }

    /// Whether the app refuses people whose unionid WeChat has never named.
    pub fn need_unionid(&self, id: &AppId) -> bool {
        self.0
            .get(id)
            .is_some_and(|configured| configured.unionid_required)
    }

    /// The AppKey of the app for orders of the sandbox, or for real ones. `None` if its file has
    /// none.
    pub fn payment_key(&self, id: &AppId, is_sandbox: bool) -> Option<&PaymentKey> {
        let keys = &self.0.get(id)?.payment_keys;
        if is_sandbox {
            keys.sandbox.as_ref()
        } else {
            keys.production.as_ref()
        }
    }

    /// The scopes of all unionids of the apps: WeChat's, and those of other platforms.
    pub fn union_scopes(&self) -> BTreeSet<UnionScope> {
        let of_platforms = self.iter().filter_map(|app| match &app.exchanger {
            AppExchanger::Platform(app) => Some(app.unions.clone()),
            AppExchanger::Secret(_) | AppExchanger::Component(_) => None,
        });
        of_platforms.chain([UnionScope::default()]).collect()
    }

    /// The platform of this app. `None` if it is not configured.
    pub fn platform(&self, id: &AppId) -> Option<Platform> {
        Some(self.0.get(id)?.app.platform())
    }

    /// The kind of the app; `None` for a mini program and for an unknown app.
    pub fn kind_label(&self, id: &AppId) -> Option<&'static str> {
        let kind = self.0.get(id)?.app.kind;
        (kind != AppKind::MiniProgram).then(|| kind.name())
    }

    /// All apps, in the order of their AppIDs.
    pub fn iter(&self) -> impl Iterator<Item = &App> {
        self.0.values().map(|configured| &configured.app)
    }

    /// The AppIDs, separated by spaces, for the log.
    pub fn names(&self) -> String {
        names(self.iter())
    }
}

fn names<'a>(apps: impl Iterator<Item = &'a App>) -> String {
    apps.map(name).collect::<Vec<_>>().join(" ")
}

/// The AppID, with the kind in parentheses unless the app is a mini program.
pub fn name(app: &App) -> String {
    let App { id, kind, .. } = app;
    if *kind == AppKind::MiniProgram {
        id.to_string()
    } else {
        format!("{id} ({})", kind.name())
    }
}

/// The mini program that a `Referer` names. WeChat sends
/// `https://servicewechat.com/{appid}/{version}/page-frame.html` with every request of a mini
/// program, and no other form is accepted. Anyone can forge it, so it is only a hint.
pub fn app_of_referer(referer: &str) -> Option<AppId> {
    let mut parts = referer
        .strip_prefix("https://servicewechat.com/")?
        .split('/');
    let id = parts.next()?;
    let version = parts.next()?;
    let is_version =
        !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_frame = parts.next() == Some("page-frame.html") && parts.next().is_none();
    if is_version && is_frame {
        id.parse().ok()
    } else {
        None
    }
}
