//! How long the doctor takes.

use std::time::Instant;

use tokio::net::TcpListener;

use super::{Report, healthy};
use crate::support::prelude::*;

/// docs/operation.md: "takes at most 15 s". A pipe in place of a file is not waited for either.
const WITHIN: Duration = BUSY.saturating_add(Duration::from_secs(15));

#[tokio::test]
async fn it_takes_at_most_15_s_where_everything_hangs() {
    let mut bed = healthy().await;
    // The system accepts connections for it.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    bed.configuration.set_all([
        ("WXMINT_ISSUER", format!("http://{address}")),
        (
            "WXMINT_REDIS_URL",
            format!("redis+sentinel://{address}/mymaster"),
        ),
        ("WXMINT_WECHAT_URL", format!("http://{address}")),
        ("WXMINT_ACCOUNTS", format!("http://{address}")),
    ]);
    let pipe = bed.configuration.path("pipe");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .expect("mkfifo")
            .success()
    );
    let of_service = || {
        bed.configuration
            .command_of(&["doctor", "--public", "--json"])
    };
    let mut sidecar = bed
        .configuration
        .command_of(&["doctor", "sidecar", "--json"]);
    sidecar
        .env("WXMINT_JWKS_URL", format!("http://{address}/jwks"))
        .env("WXMINT_AUDIENCE", "x");
    let began = Instant::now();
    let (mut everything, mut file) = (of_service(), of_service());
    let (report, of_file, of_sidecar) = tokio::join!(
        Report::run(&mut everything),
        Report::run(file.env("WXMINT_KEYS", pipe)),
        Report::run(&mut sidecar)
    );
    assert!(began.elapsed() < WITHIN, "{:?}", began.elapsed());
    for name in ["redis.reach", "wechat.reach", "accounts"] {
        assert_eq!(report.status(name), "fault", "{}", report.output);
    }
    assert_eq!((report.code, report.status("public")), (2, "warning"));
    assert!(
        of_file.output.contains("it is not a regular file"),
        "{}",
        of_file.output
    );
    assert_eq!(of_sidecar.status("jwks"), "fault");
}
