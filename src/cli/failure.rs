//! The reason why a command fails, and its exit code.

use std::{fmt::Display, io, process::ExitCode};

use wxmint_keys::rotation::Refusal;
use wxmint_store::StoreError;
use wxmint_verify::KeyError;

use super::output::{Language, say};
use super::{EXIT_CLOSED, EXIT_UNFINISHED, EXIT_USAGE, remarks};
use crate::findings::Message;
use crate::{
    issuer::IssuerStartError, login::Unavailable, secret_files::FileError, settings::Faults,
};

/// The reason why a command has failed, and its exit code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    code: u8,
    /// Standard error shows this; `None` if nothing needs to be said.
    reason: Option<Message>,
}

impl Failure {
    /// The command line, a setting or a file cannot be used. Nothing was changed.
    pub(crate) fn usage(reason: impl Display) -> Self {
        Self {
            code: EXIT_USAGE,
            reason: Some(Message::of(reason)),
        }
    }

    /// The system, Redis or the cluster did not let the command start or finish.
    pub(crate) fn unfinished(reason: impl Display) -> Self {
        Self {
            code: EXIT_UNFINISHED,
            reason: Some(Message::of(reason)),
        }
    }

    /// A failure without a further message: the doctor or clap has reported it, or the reader of
    /// the output has gone away.
    pub(crate) fn said(code: u8) -> Self {
        Self { code, reason: None }
    }

    /// Standard output cannot be written. No reason is needed if its reader has gone away.
    pub(crate) fn of_output(error: &io::Error) -> Self {
        let is_closed = error.kind() == io::ErrorKind::BrokenPipe;
        if is_closed {
            Self::said(EXIT_CLOSED)
        } else {
            Self::unfinished(format_args!("standard output: {error}"))
        }
    }

    /// Converts a `FileError`. If the file is missing, the message names the command `make`, which
    /// makes the file.
    pub(crate) fn of_file<'a>(make: impl Into<Option<&'a str>>) -> impl Fn(FileError) -> Self {
        let make = make.into();
        move |error| match (error.with_cure(make), error) {
            (why, FileError::Io { source, .. }) if source.kind() != io::ErrorKind::NotFound => {
                Self::unfinished(why)
            }
            (why, _) => Self::usage(why),
        }
    }

    pub(crate) fn at(self, place: impl Display) -> Self {
        Self {
            reason: self.reason.map(|reason| message!("{}: {}", place, reason)),
            ..self
        }
    }

    pub(crate) fn tell(self) -> ExitCode {
        if let Some(reason) = &self.reason {
            say(format_args!(
                "wxmint: {}",
                Language::of_locale().tell(reason)
            ));
        }
        ExitCode::from(self.code)
    }
}

macro_rules! failures {
    ($($error:ident: $kind:ty => $failure:expr;)+) => { $(
        impl From<$kind> for Failure {
            fn from($error: $kind) -> Self {
                $failure
            }
        }
    )+ };
}

failures! {
    faults: Faults => {
        let unusable = message!(settings_cannot_be_used_for, faults);
        Self::usage(remarks::beside(&faults).into_iter().fold(unusable, |text, note| message!("{}\n{}", text, note)))
    };
    error: FileError => Self::of_file(None)(error);
    error: KeyError => Self::usage(Message::from(&error));
    refusal: Refusal => Self::usage(refusal);
    error: StoreError => {
        let again = if error.is_lasting() { "" } else { " Run the same command again." };
        Self::unfinished(format_args!("{error}.{again}"))
    };
    error: Unavailable => match error {
        Unavailable::Store(cause) => cause.into(),
        Unavailable::Contended => Self::unfinished(format_args!("{error}. Run the same command again.")),
        error => Self::unfinished(error),
    };
    error: IssuerStartError => match error.is_in_settings {
        true => Self::usage(Message::lines(error.findings)),
        false => Self::unfinished(Message::lines(error.findings)),
    };
    error: io::Error => Self::unfinished(error);
}
