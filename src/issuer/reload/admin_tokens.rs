//! Reads the file of operators' secrets again.

use super::Watched;
use crate::{
    issuer::admin_tokens::{AdminTokens, CurrentAdminTokens},
    secret_files::WatchedFile,
};

pub(super) struct WatchedAdminTokens {
    tokens: CurrentAdminTokens,
    file: WatchedFile,
}

impl WatchedAdminTokens {
    pub(super) fn new(tokens: CurrentAdminTokens, file: WatchedFile) -> Self {
        Self { tokens, file }
    }
}

impl Watched for WatchedAdminTokens {
    const WHAT: &'static str = "admin_tokens";
    const REFUSED: &'static str = "the changed file of admin tokens cannot be used; keeping the previous tokens";
    const MENDED: &'static str = "the file of admin tokens can be used again";

    fn reload(&mut self) -> Result<bool, String> {
        let content = self.file.read().map_err(|error| error.to_string())?;
        if self.file.is_in_use(&content) {
            return Ok(false);
        }
        let tokens = AdminTokens::parse(&content);
        let tokens = tokens.map_err(|error| format!("{}: {error}", self.file.path().display()))?;
        self.file.put_in_use(&content);
        tracing::info!(tokens = tokens.len(), "the admin tokens were read again");
        self.tokens.swap(tokens);
        Ok(true)
    }
}
