//! Why the issuer cannot start.

use std::io;

use wxmint_findings::{Finding, Said};
use wxmint_upstream::HttpClientError;

#[derive(Debug, thiserror::Error)]
#[error("{}", Said::lines(.findings))]
pub struct IssuerStartError {
    pub findings: Vec<Finding>,
    /// Whether a setting must be corrected, rather than the machine.
    pub is_in_settings: bool,
}

impl IssuerStartError {
    pub(super) fn of_setting(finding: Finding) -> Self {
        Self { findings: vec![finding], is_in_settings: true }
    }

    pub(crate) fn of_machine(reasons: Vec<String>) -> Self {
        let findings = reasons.into_iter().map(|reason| Finding::fault("settings", reason, "")).collect();
        Self { findings, is_in_settings: false }
    }

    pub(crate) fn all(errors: impl IntoIterator<Item = Option<Self>>) -> Self {
        let mut all = Self::of_machine(Vec::new());
        for error in errors.into_iter().flatten() {
            all.findings.extend(error.findings);
            all.is_in_settings |= error.is_in_settings;
        }
        all
    }
}

impl From<HttpClientError> for IssuerStartError {
    fn from(error: HttpClientError) -> Self {
        Self::of_machine(vec![error.to_string()])
    }
}

impl From<io::Error> for IssuerStartError {
    fn from(error: io::Error) -> Self {
        Self::of_machine(vec![format!("the HTTP server failed: {error}")])
    }
}
