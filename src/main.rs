//! The command line: parse, dispatch, exit code.

use std::{alloc::System, process::ExitCode};

use zeroizing_alloc::ZeroAlloc;

/// Wipes what is freed. Session keys, passwords and AppSecrets pass through buffers that are not ours (HTTP, TLS,
/// JSON); none of them leaves one behind.
#[global_allocator]
static WIPING: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    wxmint::cli::run(wxmint::doors::DOORS)
}
