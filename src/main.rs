//! The command line: parse, dispatch, exit code.

use std::process::ExitCode;

use mimalloc::MiMalloc;
use zeroizing_alloc::ZeroAlloc;

/// Wipes memory when it is freed, because session keys, passwords and AppSecrets pass through
/// buffers of the libraries for HTTP, TLS and JSON.
#[global_allocator]
static WIPING: ZeroAlloc<MiMalloc> = ZeroAlloc(MiMalloc);

fn main() -> ExitCode {
    wxmint::cli::run(wxmint::doors::DOORS)
}
