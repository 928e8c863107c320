//! The command line: parse, dispatch, exit code.

use std::process::ExitCode;

use mimalloc::MiMalloc;
use zeroizing_alloc::ZeroAlloc;

/// Wipes what is freed. Session keys, passwords and AppSecrets pass through buffers that are not ours (HTTP, TLS,
/// JSON); none of them leaves one behind.
#[global_allocator]
static WIPING: ZeroAlloc<MiMalloc> = ZeroAlloc(MiMalloc);

fn main() -> ExitCode {
    wxmint::cli::run(wxmint::doors::DOORS)
}
