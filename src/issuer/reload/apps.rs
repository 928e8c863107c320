//! The files of the AppSecrets.

use std::sync::Arc;

use super::Watched;
use crate::wechat::{CurrentApps, Reloaded};

impl Watched for Arc<CurrentApps> {
    const WHAT: &'static str = "apps";
    const REFUSED: &'static str = "an AppSecret's file is not fit to be used; the AppSecret of before stays";
    const MENDED: &'static str = "the files of the AppSecrets are fit to be used again";

    fn reload(&mut self) -> Result<bool, String> {
        CurrentApps::reload(self).map(|reloaded| reloaded == Reloaded::Changed)
    }
}
