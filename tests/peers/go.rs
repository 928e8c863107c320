//! examples/peers/go: net/http and golang-jwt.

use std::{net::SocketAddr, process::Command};

use crate::example::{Example, Started, copy_example};
use crate::support::{Process, free_port, go};

/// For a test that would not wait for minutes.
pub(crate) const OFTEN: [(&str, &str); 2] = [
    (
        "refreshEvery = 5 * time.Minute",
        "refreshEvery = 99 * time.Millisecond",
    ),
    (
        "retryAfter   = 10 * time.Second",
        "retryAfter   = 99 * time.Millisecond",
    ),
];

/// Starts the example for the issuer at this address, with settings in place of those that the file has.
pub(crate) fn start(issuer: SocketAddr, settings: &[(&str, &str)]) -> Started {
    let port = free_port();
    let folder = tempfile::tempdir().expect("a folder");
    let (issuer, address) = (issuer.to_string(), format!("127.0.0.1:{port}"));
    let addresses: [(&str, &str); 2] = [("127.0.0.1:8080", &issuer), ("127.0.0.1:8000", &address)];
    copy_example("go", &[settings, &addresses].concat(), folder.path());
    for build in ["vet", "build"] {
        let built = Command::new(go()).arg(build).current_dir(&folder).output();
        let built = built.unwrap_or_else(|error| panic!("go: {error}; run: make setup"));
        assert!(
            built.status.success(),
            "{}",
            String::from_utf8_lossy(&built.stderr)
        );
    }
    let mut orders = Command::new(folder.path().join("orders"));
    // A proxy of the machine's would be asked for the keys.
    orders.current_dir(&folder);
    orders.envs([("NO_PROXY", "127.0.0.1"), ("no_proxy", "127.0.0.1")]);
    Started {
        example: Example::new("go", port),
        _process: Process::spawn("orders", &mut orders),
        folder,
    }
}
