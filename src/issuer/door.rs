//! A door: an optional module of the service, such as OpenID Connect. The issuer knows its doors
//! only by these types.

use std::{process::ExitCode, sync::Arc};

use actix_web::web::{Data, ServiceConfig};
use async_trait::async_trait;
use clap::{ArgMatches, Command};
use prometheus_client::registry::Registry;
use serde_json::Value;
use wxmint_http::described::Routes;
use wxmint_keys::token::Issued;
use wxmint_store::Store;

use super::grants::{PhoneLogin, TokenGrants};
use super::{Issuer, IssuerStartError};
use crate::admin::{CurrentAdminTokens, Panel};
use crate::findings::{Finding, Message};
use crate::login::{CodeExchanger, LoginParts, RequestError};
use crate::settings::Settings;

/// A row of the table of doors: the facts about a door, whether it is open or not.
pub struct DoorRow {
    /// The routes on the public listener.
    pub public: &'static Routes,
    /// The paths whose answers the pages of clients may read.
    pub readable: &'static [&'static str],
    /// The routes on the admin listener, which exist even while the door is shut.
    pub admin: Option<&'static Routes>,
    /// The door's panel of the console.
    pub panel: Option<Panel>,
    /// Reads and checks the door's settings and files. `None` if they are not set: the door stays
    /// shut.
    pub open: fn(&Settings, Option<&CurrentAdminTokens>) -> Opened,
    /// The doctor's check of the door, and the variable without which the check is left out.
    pub check: Option<(&'static str, &'static str)>,
    /// The message that people log in only through this door, if it brings apps and no other app is
    /// configured.
    pub alone: Option<fn() -> Message>,
    pub command: Option<DoorCommand>,
    /// Opens the door in the demo.
    pub in_demo: Option<OpensInDemo>,
}

impl DoorRow {
    /// A row with only these members.
    pub const fn new(
        public: &'static Routes,
        open: fn(&Settings, Option<&CurrentAdminTokens>) -> Opened,
    ) -> Self {
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

/// Opens a door in the demo.
pub type OpensInDemo = fn() -> Arc<dyn Door>;

/// A command of the program: `wxmint NAME …`.
#[derive(Clone, Copy)]
pub struct DoorCommand {
    /// The command with its name, description, options and subcommands.
    pub described: fn() -> Command,
    pub run: fn(&ArgMatches) -> ExitCode,
}

/// The open door; `None` if it stays shut; or why its settings cannot be used.
pub type Opened = Result<Option<Arc<dyn Door>>, IssuerStartError>;

/// The table of all doors.
pub type Doors = &'static [DoorRow];

/// An open door, with everything that the service asks of a door.
#[async_trait(?Send)]
pub trait Door: Send + Sync + 'static {
    /// Gives the handlers of one worker thread their state.
    fn configure(self: Arc<Self>, config: &mut ServiceConfig) {
        config.app_data(Data::from(self));
    }

    /// Starts the door's tasks, and watches its files, for as long as the process runs.
    fn follow(self: Arc<Self>, _issuer: &Arc<Issuer>) {}

    /// Why the process is not ready yet; `None` if the door is ready.
    fn waits_for(&self) -> Option<Finding> {
        None
    }

    /// The door's findings for the doctor.
    async fn examine(&self, _issuer: &Issuer, _redis: Option<&Store>) -> Vec<Finding> {
        Vec::new()
    }

    /// Its members of the issuer's metadata.
    fn metadata(&self, _issuer: &Issuer) -> Value {
        Value::Null
    }

    /// Its grants at `/token`.
    fn token_grants(&self) -> Option<&dyn TokenGrants> {
        None
    }

    /// The login of a page by a phone, which it offers to pages of other doors.
    fn phone_login(&self) -> Option<&dyn PhoneLogin> {
        None
    }

    /// Begins its counters of clients anew, because a client has been removed from the file.
    fn client_is_gone(&self) {}

    /// The exchanger of the apps that the door brings, which have no AppSecret.
    fn exchanger(self: Arc<Self>) -> Option<Arc<dyn CodeExchanger>> {
        None
    }

    /// Revokes whatever else belongs to a client's login, after a logout with the token of that
    /// login.
    async fn revoke_login(&self, _login: &LoginParts, _token: Issued) -> Result<(), RequestError> {
        Ok(())
    }

    /// Registers the door's metrics.
    fn metrics(&self, _registry: &mut Registry) {}
}

pub(crate) struct OpenDoor {
    pub(crate) row: &'static DoorRow,
    pub(crate) door: Arc<dyn Door>,
}
