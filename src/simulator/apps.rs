//! What of the apps can be changed while the simulator runs: the secrets that are taken, and whether unionids are given.

use std::sync::Mutex;

use serde::Serialize;

use super::{state::lock, world::App};

/// The terms of each app, in the order of the apps.
pub(super) struct Terms(Mutex<Vec<Term>>);

struct Term {
    /// The newest last; never empty.
    secrets: Vec<String>,
    unionid: bool,
}

/// What is to be otherwise with an app.
#[derive(Default)]
pub(super) struct AppChange {
    /// Taken from now on, beside those of before.
    pub(super) secret: Option<String>,
    /// Whether the newest secret alone is taken.
    pub(super) drop_old_secrets: bool,
    /// Whether code2Session gives a unionid.
    pub(super) unionid: Option<bool>,
}

/// An app's terms as the control side shows them.
#[derive(Serialize)]
pub(super) struct ShownApp {
    appid: String,
    /// How many are taken.
    secrets: usize,
    unionid: bool,
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

    pub(super) fn change(&self, app: usize, id: &str, change: AppChange) -> ShownApp {
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
        ShownApp { appid: id.to_owned(), secrets: term.secrets.len(), unionid: term.unionid }
    }
}
