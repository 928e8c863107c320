//! The users file, where users come from one.

use super::Watched;
use crate::accounts::FileAccounts;

impl Watched for FileAccounts {
    const WHAT: &'static str = "users";
    const REFUSED: &'static str = "the users file has changed and is not fit to be used; the users of before stay";
    const MENDED: &'static str = "the users file holds again what is in use";

    fn reload(&mut self) -> Result<bool, String> {
        let changed = FileAccounts::reload(self).map_err(|error| error.to_string())?;
        if changed {
            tracing::info!(
                users = self.len(),
                hashing_mebibytes = self.hashing_mebibytes(),
                "the users file was read again"
            );
        }
        Ok(changed)
    }
}
