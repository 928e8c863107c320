//! The mini programs of the simulator, and what can be changed about them while it runs: which AppSecrets are accepted,
//! and whether unionids are returned.

use std::{str::FromStr, sync::Mutex};

use serde::Deserialize;
use serde_json::{Value, json};

use super::state::lock;
use wxmint_verify::ids::AppId;

/// A mini program that the simulator knows.
#[derive(Clone)]
pub struct App {
    /// Its AppID.
    pub id: AppId,
    /// Its AppSecret when the simulator starts.
    pub secret: String,
    /// Whether code2Session returns a unionid when the simulator starts, as for apps of an Open Platform account.
    pub unionid: bool,
}

/// A text is not an [`App`]. The message does not repeat the text, because it holds a secret.
#[derive(Debug, thiserror::Error)]
#[error(
    "must be APPID:SECRET or APPID:SECRET:no-unionid, for example wx0123456789abcdef:00112233445566778899aabbccddeeff"
)]
pub struct InvalidApp;

impl FromStr for App {
    type Err = InvalidApp;

    /// Reads `APPID:SECRET` or `APPID:SECRET:no-unionid`.
    fn from_str(text: &str) -> Result<Self, InvalidApp> {
        let mut parts = text.split(':');
        let id = parts.next().and_then(|id| id.parse().ok()).ok_or(InvalidApp)?;
        let secret = parts.next().filter(|secret| !secret.is_empty()).ok_or(InvalidApp)?.to_owned();
        let unionid = match (parts.next(), parts.next()) {
            (None, _) => true,
            (Some("no-unionid"), None) => false,
            _ => return Err(InvalidApp),
        };
        Ok(Self { id, secret, unionid })
    }
}

/// What holds for each app now, in the order of the apps.
pub(super) struct Terms(Mutex<Vec<Term>>);

struct Term {
    /// The newest last; never empty.
    secrets: Vec<String>,
    unionid: bool,
}

/// A change of one app, of the first one if none is named.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AppChange {
    pub(super) appid: Option<String>,
    /// Accepted from now on, as well as the earlier ones.
    pub(super) secret: Option<String>,
    /// From now on only the newest secret is accepted.
    #[serde(default)]
    drop_old_secrets: bool,
    unionid: Option<bool>,
}

impl Terms {
    pub(super) fn of(apps: &[App]) -> Self {
        let term = |app: &App| Term { secrets: vec![app.secret.clone()], unionid: app.unionid };
        Self(Mutex::new(apps.iter().map(term).collect()))
    }

    pub(super) fn takes(&self, app: usize, secret: &str) -> bool {
        lock(&self.0)[app].secrets.iter().any(|taken| taken == secret)
    }

    pub(super) fn gives_unionid(&self, app: usize) -> bool {
        lock(&self.0)[app].unionid
    }

    /// Changes an app; returns it as the control API shows it, with the number of secrets that are accepted.
    pub(super) fn change(&self, app: usize, id: &str, change: AppChange) -> Value {
        let mut terms = lock(&self.0);
        let term = &mut terms[app];
        if let Some(secret) = change.secret {
            term.secrets.retain(|taken| *taken != secret);
            term.secrets.push(secret);
        }
        if change.drop_old_secrets {
            term.secrets.drain(..term.secrets.len() - 1);
        }
        term.unionid = change.unionid.unwrap_or(term.unionid);
        json!({"appid": id, "secrets": term.secrets.len(), "unionid": term.unionid})
    }
}
