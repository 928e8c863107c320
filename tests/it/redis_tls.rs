//! Redis behind TLS, by the settings: what is said under their names, in the log, to the probe and by the doctor. The
//! tests of crates/redis-link hold who is trusted, which files are in use, and Clusters and Sentinels.

use crate::doctor::Report;
use crate::support::prelude::*;
use std::os::unix::fs::PermissionsExt;

/// It does not become ready, and says why.
async fn is_not_ready(configuration: &Configuration, bed: &TestBed, reason: &str) {
    let service = Service::start(configuration, bed.http.clone()).await;
    let place = configuration
        .value("WXMINT_REDIS_URL")
        .replace("rediss://", "Redis at ");
    eventually(reason, PATIENCE, async || {
        let answer = service.readyz().await;
        assert_eq!(answer.status, 503, "{answer:?}");
        (answer.body.contains(&place) && answer.body.contains(reason)).then_some(())
    })
    .await;
    service.says(reason).await;
    let report = Report::of(configuration).await;
    let said = report.worst("redis.reach");
    assert!(
        said[0] == "fault"
            && said
                .join(" ")
                .contains(reason.split(": ").next().expect("words")),
        "{said:?}"
    );
}

#[tokio::test]
async fn logins_go_through_tls_by_the_files_that_the_settings_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let ours = Authority::new(folder.path());
    ours.sign("server", &["localhost"]);
    let port = free_port();
    let options = ours.redis_options(port, "server", true);
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    let bed = TestBed::builder()
        .redis_options(&options)
        .not_ready()
        .start()
        .await;
    let mut configuration = Configuration::new("ES256");
    configuration.set("WXMINT_WECHAT_URL", &bed.wechat.url());
    configuration.set("WXMINT_REDIS_URL", &format!("rediss://localhost:{port}"));
    is_not_ready(
        &configuration,
        &bed,
        "set WXMINT_REDIS_CA_FILE to the PEM file of the authority",
    )
    .await;
    configuration.set(
        "WXMINT_REDIS_CA_FILE",
        &ours.path("ca.crt").to_string_lossy(),
    );
    let wanted =
        "it wants a client certificate: set WXMINT_REDIS_CERT_FILE and WXMINT_REDIS_KEY_FILE";
    is_not_ready(&configuration, &bed, wanted).await;
    ours.sign("client", &["wxmint"]);
    for (name, file) in [("CERT", "crt"), ("KEY", "key")] {
        let path = ours.path(&format!("client.{file}"));
        configuration.set(
            &format!("WXMINT_REDIS_{name}_FILE"),
            &path.to_string_lossy(),
        );
    }
    let service = Service::start(&configuration, bed.http.clone()).await;
    service.ready().await;
    let log_in = async || service.login(&bed.mint_code("lin").await).await;
    log_in().await.expect_login();
    let clients: String = bed.redis.command(&["CLIENT", "LIST"]);
    let tls = format!("laddr=127.0.0.1:{port}");
    assert!(
        clients
            .lines()
            .any(|client| client.contains(&tls) && client.contains("cmd=eval")),
        "{clients}"
    );
    assert!(!service.log().contains("without TLS"));

    fs::write(ours.path("client.key"), "half a key").expect("written");
    bed.redis
        .command::<i64>(&["CLIENT", "KILL", "TYPE", "normal"]);
    until("served", PATIENCE, async || log_in().await.status == 200).await;
    until("told", PATIENCE, async || {
        service.log().contains("keeping the previous ones")
    })
    .await;
}

/// crates/redis-link/src/url.rs says which machine is another one.
#[tokio::test]
async fn files_that_cannot_be_used_are_faults_and_another_machine_without_tls_is_warned_about() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ours, theirs) = (
        Authority::new(folder.path()),
        Authority::new(&folder.path().join("theirs")),
    );
    ours.sign("client", &["wxmint"]);
    theirs.sign("client", &["wxmint"]);
    let path =
        |authority: &Authority, file: &str| authority.path(file).to_string_lossy().into_owned();
    let pair = "WXMINT_REDIS_CERT_FILE and WXMINT_REDIS_KEY_FILE: ";
    for (ca, certificate, key, fault) in [
        (
            path(&ours, "client.key"),
            String::new(),
            String::new(),
            "WXMINT_REDIS_CA_FILE: holds no certificate in PEM",
        ),
        (
            String::new(),
            path(&ours, "client.crt"),
            path(&theirs, "client.key"),
            pair,
        ),
    ] {
        let mut configuration = Configuration::new("ES256");
        configuration.set("WXMINT_REDIS_URL", "rediss://127.0.0.1:1");
        for (name, value) in [("CA", ca), ("CERT", certificate), ("KEY", key)] {
            configuration.set(&format!("WXMINT_REDIS_{name}_FILE"), &value);
        }
        let outcome = configuration.refused().await;
        assert!(outcome.contains(fault), "{fault}: {outcome}");
    }
    let mut configuration = Configuration::new("ES256");
    configuration.set("WXMINT_REDIS_URL", "rediss://127.0.0.1:1");
    for (name, file) in [("CERT", "client.crt"), ("KEY", "client.key")] {
        configuration.set(&format!("WXMINT_REDIS_{name}_FILE"), &path(&ours, file));
    }
    fs::set_permissions(ours.path("client.key"), fs::Permissions::from_mode(0o644))
        .expect("our file");
    let advice = Report::of(&configuration).await.advice(
        "files",
        "fault",
        "client.key can be read by others",
    );
    crate::doctor::follow(&advice);
    assert_eq!(
        fs::metadata(ours.path("client.key"))
            .expect("there")
            .permissions()
            .mode()
            & 0o777,
        0o600,
        "{advice}"
    );
    let mut configuration = Configuration::new("ES256");
    configuration.set("WXMINT_REDIS_URL", "redis://192.0.2.1");
    Service::start(&configuration, Http::new())
        .await
        .says("WXMINT_REDIS_URL names another machine without TLS")
        .await;
}
