//! How it starts: before the issuer is there, while the issuer is away, and not at all.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::{Instant, SystemTime};

use super::{LONG, NO_TOKEN, Signer, refused};
use crate::map::files_of;
use crate::support::prelude::*;

#[tokio::test(flavor = "multi_thread")]
async fn before_the_issuer_is_there_nobody_can_tell_and_soon_after_it_is_there_everybody_can() {
    let bed = TestBed::start().await;
    let token = bed
        .log_in("lin")
        .await
        .expect_login()
        .member("access_token");
    let link = Breakable::before(bed.service().public).await;
    link.cut().await;
    let sidecar = SidecarSettings::new(&format!("{}/.well-known/jwks.json", link.url()))
        .start()
        .await;
    for token in [&*token, "x", "a.b.c"] {
        let answer = sidecar
            .verify(token)
            .await
            .expect_problem(503, "keys_unavailable");
        assert!(
            answer
                .header("retry-after")
                .parse::<u64>()
                .is_ok_and(|seconds| (1..=5).contains(&seconds))
        );
        assert!(!answer.headers.contains_key("x-user-id"));
    }
    // A client that shows none is told so without any key.
    refused(
        "no token",
        &sidecar.raw("GET /verify HTTP/1.1", &[], "").await,
        NO_TOKEN,
    );
    let readyz = sidecar.admin("/readyz").await;
    assert_eq!(readyz.status, 503);
    assert!(
        readyz.body.contains("keys have not been fetched"),
        "{readyz:?}"
    );
    assert_eq!(sidecar.admin("/livez").await.status, 200);

    link.restore().await;
    let restored = Instant::now();
    sidecar.ready().await;
    tell(&format!(
        "ready {:.1} s after the issuer is",
        restored.elapsed().as_secs_f64()
    ));
    assert_eq!(sidecar.verify(&token).await.status, 200);
    // Its latch: an issuer that goes away again takes no proxy out of service.
    link.cut().await;
    assert_eq!(sidecar.admin("/readyz").await.status, 200);
    assert_eq!(sidecar.verify(&token).await.status, 200);
}

/// The tests of crates/verify hold in which file.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_good_keys_on_disk_verify_for_a_day_while_the_issuer_is_away() {
    let (signer, folder) = (Signer::new(), tempfile::tempdir().expect("a folder"));
    let issuer = Answering::of(&signer.set(), LONG);
    let settings = SidecarSettings::new(&issuer.url("/jwks"));
    let settings = settings.with("WXMINT_JWKS_CACHE", &folder.path().to_string_lossy());
    let mut sidecar = settings.ready().await;
    let file = eventually("keys on disk", PATIENCE, async || {
        files_of("json", folder.path()).pop()
    })
    .await;
    sidecar.signal(Signal::TERM);
    assert!(sidecar.end(PATIENCE).await.success());
    drop(issuer);
    assert_eq!(
        fs::metadata(&file).expect("a file").permissions().mode() & 0o777,
        0o600
    );
    let sidecar = settings.ready().await;
    assert_eq!(sidecar.verify(&signer.token()).await.status, 200);
    assert_eq!(
        sidecar.verify(&Signer::new().token()).await.status,
        401,
        "no other key than those"
    );
    for (name, value) in [
        ("WXMINT_JWKS_URL", "http://127.0.0.1:1/jwks"),
        ("WXMINT_ISSUER", "https://another.example"),
    ] {
        let other = settings.clone().with(name, value).start().await;
        assert_eq!(other.admin("/readyz").await.status, 503, "{name}");
        other
            .verify(&signer.token())
            .await
            .expect_problem(503, "keys_unavailable");
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "the sidecar goes by the system's clock"
    )]
    let yesterday = SystemTime::now() - Duration::from_hours(25);
    File::options()
        .append(true)
        .open(&file)
        .and_then(|file| file.set_modified(yesterday))
        .expect("our own file");
    let late = settings.start().await;
    assert_eq!(late.admin("/readyz").await.status, 503);
    late.verify(&signer.token())
        .await
        .expect_problem(503, "keys_unavailable");
    late.says("too old to be used").await;
    // A folder that cannot be written hinders nobody.
    let issuer = Answering::of(&signer.set(), LONG);
    let settings =
        SidecarSettings::new(&issuer.url("/jwks")).with("WXMINT_JWKS_CACHE", "/nowhere/at/all");
    let sidecar = settings.ready().await;
    assert_eq!(sidecar.verify(&signer.token()).await.status, 200);
    sidecar.says("could not be written to disk").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_its_settings_are_named_and_none_of_the_issuers_settings_is_asked_for() {
    let wrong =
        SidecarSettings::new("https://u:hunter2@login.example.com/").without("WXMINT_ISSUER");
    let outcome = wrong
        .with("WXMINT_TOKEN_TYP", "x")
        .with("WXMINT_SIDECAR_LISTEN", "8181")
        .run()
        .await;
    assert_eq!(outcome.code, Some(64), "{outcome:?}");
    for name in ["ISSUER", "JWKS_URL", "TOKEN_TYP", "SIDECAR_LISTEN"] {
        assert!(
            outcome.stderr.contains(&format!("WXMINT_{name} is not")),
            "{name}: {outcome:?}"
        );
    }
    assert!(
        outcome.stderr.contains("example: ") && !outcome.stderr.contains("hunter2"),
        "{outcome:?}"
    );
    assert!(
        !outcome.stderr.contains("WXMINT_APP") && !outcome.stderr.contains("WXMINT_REDIS"),
        "{outcome:?}"
    );
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let outcome = SidecarSettings::new("http://127.0.0.1:1/jwks")
        .with("WXMINT_SIDECAR_LISTEN", &address)
        .run()
        .await;
    let said = format!("WXMINT_SIDECAR_LISTEN: cannot listen on {address}");
    assert!(
        outcome.code == Some(1) && outcome.stderr.contains(&said),
        "{outcome:?}"
    );
}
