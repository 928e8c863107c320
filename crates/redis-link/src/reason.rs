//! Why Redis is not reached, or has not done what it was asked.

use std::fmt;

/// In words for the log, which contain neither keys nor values, and by its cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The finding.
    pub found: String,
    /// The advice, where it takes words of this very case.
    pub cure: Option<String>,
    /// By which a program chooses its own advice.
    pub cause: Cause,
}

/// The cause of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The host's name has no address.
    NoAddress,
    /// Nobody listens there.
    NobodyListens,
    /// No answer in time.
    NoAnswer,
    /// No answer in time, where TLS is spoken: perhaps the port has none.
    NoAnswerByTls,
    /// The connection ends, where no TLS is spoken: perhaps the port has TLS.
    Closed,
    /// The port has no TLS.
    NoTls,
    /// Its certificate has expired.
    Expired,
    /// NOAUTH
    WantsPassword,
    /// WRONGPASS
    WrongPassword,
    /// The database cannot be chosen.
    NoDatabase,
    /// The Sentinels watch no master of this name.
    NoMaster,
    /// No Sentinel names a primary.
    NoPrimaryNamed,
    /// It was taken for a server of a Cluster.
    NoCluster,
    /// MOVED or ASK of a server that was taken for a single one.
    IsInCluster,
    /// LOADING
    Loading,
    /// NOREPLICAS
    TooFewReplicas,
    /// READONLY
    IsReplica,
    /// OOM
    MemoryFull,
    /// MISCONF
    DiskFails,
    /// It has as many clients as it may have.
    TooManyClients,
    /// It lets nobody in from elsewhere without a password.
    Protected,
    /// Anything else: the words tell.
    Other,
}

impl Cause {
    pub(crate) fn because(self, found: impl Into<String>) -> Reason {
        Reason { found: found.into(), cure: None, cause: self }
    }
}

impl Reason {
    pub(crate) fn with_cure(self, cure: impl Into<String>) -> Self {
        Self { cure: Some(cure.into()), ..self }
    }

    /// The same, with words in front.
    pub fn after(self, words: fmt::Arguments<'_>) -> Self {
        Self { found: format!("{words}{}", self.found), ..self }
    }
}

impl From<String> for Reason {
    fn from(found: String) -> Self {
        Cause::Other.because(found)
    }
}

impl From<&str> for Reason {
    fn from(found: &str) -> Self {
        Cause::Other.because(found)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.found)?;
        self.cure.iter().try_for_each(|cure| write!(f, "; {cure}"))
    }
}
