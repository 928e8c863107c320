//! A door: a further way in, which the service can do without. The issuer knows its doors by this alone.

use std::{any::Any, process::ExitCode, sync::Arc, time::Duration};

use actix_web::web::{Data, ServiceConfig};
use async_trait::async_trait;
use clap::{ArgMatches, Command};
use prometheus_client::registry::Registry;
use serde_json::Value;
use wxmint_findings::{Finding, Message};
use wxmint_http::described::Routes;
use wxmint_ids::AppId;
use wxmint_keys::token::Issued;
use wxmint_store::Store;

use super::{Issuer, IssuerStartError};
use crate::admin::{CurrentAdminTokens, Panel};
use crate::login::{CodeExchanger, LoginError, LoginWorker};
use crate::settings::Settings;

/// A row of the table of doors: what is known of a door whether it is open or not.
pub struct DoorRow {
    pub public: &'static Routes,
    /// The paths at which its clients' pages may read answers. The core may have them too.
    pub readable: &'static [&'static str],
    /// Operators may ask for these, also while the door is shut.
    pub admin: Option<&'static Routes>,
    pub panel: Option<Panel>,
    /// Reads and checks the door's settings and files. `None` if they are not set: the door stays shut.
    pub open: fn(&Settings, Option<&CurrentAdminTokens>) -> Opened,
    /// The check of the doctor, and the variable without which it is not made.
    pub check: Option<(&'static str, &'static str)>,
    /// Says that people log in through the door alone, if it brings apps and no other is configured.
    pub alone: Option<fn() -> Message>,
    pub command: Option<DoorCommand>,
    /// Opens the door in the demo at this address, for the people of an app. No token lives longer than this.
    pub in_demo: Option<OpensInDemo>,
}

impl DoorRow {
    /// A door that has nothing but these.
    pub const fn new(public: &'static Routes, open: fn(&Settings, Option<&CurrentAdminTokens>) -> Opened) -> Self {
        Self {
            public,
            readable: &[],
            admin: None,
            panel: None,
            open,
            check: None,
            alone: None,
            command: None,
            in_demo: None,
        }
    }
}

pub type OpensInDemo = fn(&str, &AppId, Duration) -> Result<Arc<dyn Door>, String>;

/// A command of the program: `wxmint NAME …`.
#[derive(Clone, Copy)]
pub struct DoorCommand {
    /// It has its name, a description, options, and the commands below it.
    pub described: fn() -> Command,
    pub run: fn(&ArgMatches) -> ExitCode,
}

pub type Opened = Result<Option<Arc<dyn Door>>, IssuerStartError>;

pub type Doors = &'static [DoorRow];

/// An open door. The trait says everything that the service asks of one.
#[async_trait(?Send)]
pub trait Door: Any + Send + Sync {
    /// Gives the handlers of one worker thread their state.
    fn configure(self: Arc<Self>, config: &mut ServiceConfig) {
        config.app_data(Data::from(self));
    }

    /// Begins its tasks, and watches its files, for as long as the process runs.
    fn follow(self: Arc<Self>, _issuer: &Arc<Issuer>) {}

    /// Why the process is not ready yet.
    fn waits_for(&self) -> Option<Finding> {
        None
    }

    async fn examine(&self, _issuer: &Issuer, _redis: Option<&Store>) -> Vec<Finding> {
        Vec::new()
    }

    /// Its members of the issuer's metadata.
    fn metadata(&self, _issuer: &Issuer) -> Value {
        Value::Null
    }

    /// Whether a page of this site may read what is answered to the client, or to any client.
    fn has_origin(&self, _client: Option<&AppId>, _origin: &str) -> bool {
        false
    }

    /// Acts for apps without an AppSecret.
    fn exchange(self: Arc<Self>) -> Option<Arc<dyn CodeExchanger>> {
        None
    }

    /// Ends what else there is of a client's login by whose token somebody has logged out.
    async fn end_login(&self, _login: &LoginWorker, _token: Issued) -> Result<(), LoginError> {
        Ok(())
    }

    fn metrics(&self, _registry: &mut Registry) {}
}

pub(crate) struct OpenDoor {
    pub(crate) row: &'static DoorRow,
    pub(crate) door: Arc<dyn Door>,
}
