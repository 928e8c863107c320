//! Why a command fails, and the exit code that says so.

use std::{io, process::ExitCode};

use wxmint_verify::KeyError;

use super::{
    EXIT_UNFINISHED, EXIT_USAGE,
    output::{fail, unwritten},
};
use crate::{keys::rotation::Refusal, login::LoginError, secret_files::FileError, settings::Faults, store::StoreError};

#[derive(Debug)]
pub(super) enum Failure {
    /// The command line, a setting or a file cannot be used. Nothing was changed.
    Usage(String),
    /// The system, Redis or the cluster did not let the command start or finish.
    Unfinished(String),
    /// Standard output cannot be written.
    Output(io::Error),
}

impl Failure {
    /// As `From<FileError>`; if the file is missing, the text names the command that makes it.
    pub(super) fn of_file(error: FileError, make: &str) -> Self {
        let reason = error.or_make(make);
        match error.into() {
            Self::Usage(_) => Self::Usage(reason),
            failure => failure,
        }
    }

    /// The same failure; the text says where it happened.
    pub(super) fn at(self, place: impl std::fmt::Display) -> Self {
        match self {
            Self::Usage(reason) => Self::Usage(format!("{place}: {reason}")),
            Self::Unfinished(reason) => Self::Unfinished(format!("{place}: {reason}")),
            output @ Self::Output(_) => output,
        }
    }

    /// Says the reason, and returns the exit code.
    pub(super) fn tell(self) -> ExitCode {
        match self {
            Self::Usage(reason) => fail(EXIT_USAGE, reason),
            Self::Unfinished(reason) => fail(EXIT_UNFINISHED, reason),
            Self::Output(error) => unwritten(&error),
        }
    }
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        Self::Usage(format!("the settings cannot be used\n\n{faults}"))
    }
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self::Usage(reason)
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        match &error {
            FileError::Io { source, .. } if source.kind() != io::ErrorKind::NotFound => {
                Self::Unfinished(error.to_string())
            }
            _ => Self::Usage(error.to_string()),
        }
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        error.to_string().into()
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        refusal.to_string().into()
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Unfinished(format!("{error}. Run the same command again."))
    }
}

impl From<LoginError> for Failure {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::StoreUnavailable(cause) => cause.into(),
            error => Self::Unfinished(error.to_string()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Unfinished(error.to_string())
    }
}
