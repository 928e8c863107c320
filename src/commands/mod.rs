//! The commands, and what each exit code means.

use std::process::ExitCode;

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    ExitCode::SUCCESS
}
