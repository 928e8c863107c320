//! Redis behind TLS, by the settings: who is trusted, who is not and what is said then, and files that are replaced.
//! The tests of crates/redis-link hold more, of a Cluster and of Sentinels too.

use std::fs;

use tempfile::TempDir;

use crate::doctor::Report;
use crate::support::{
    Answer, Authority, Configuration, Http, PATIENCE, Service, TestBed, eventually, free_port, until,
};

/// A Redis with TLS, an authority that has signed for it, and a configuration that is right for both.
struct Scene {
    bed: TestBed,
    ours: Authority,
    port: u16,
    configuration: Configuration,
    _folder: TempDir,
}

impl Scene {
    /// Redis has the certificate `server`, for `localhost`.
    async fn start(wants_client: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ours = Authority::new(folder.path());
        ours.sign("server", &["localhost"]);
        let port = free_port();
        let options = ours.redis_options(port, "server", wants_client);
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        let bed = TestBed::builder().redis_options(&options).not_ready().start().await;
        let mut configuration = Configuration::new("ES256");
        configuration.set("WXMINT_WECHAT_URL", &bed.wechat.url());
        configuration.set("WXMINT_REDIS_URL", &format!("rediss://localhost:{port}"));
        configuration.set("WXMINT_REDIS_CA_FILE", &ours.path("ca.crt").to_string_lossy());
        Self { bed, ours, port, configuration, _folder: folder }
    }

    async fn service(&self) -> Service {
        Service::start(&self.configuration, self.bed.http.clone()).await
    }

    fn show(&mut self, certificate: &str) {
        for (name, file) in [("CERT", "crt"), ("KEY", "key")] {
            let path = self.ours.path(&format!("{certificate}.{file}"));
            self.configuration.set(&format!("WXMINT_REDIS_{name}_FILE"), &path.to_string_lossy());
        }
    }

    /// It does not become ready, and says why in the log, to the probe and by the doctor.
    async fn is_not_ready(&self, reason: &str) {
        let service = self.service().await;
        let place = format!("Redis at localhost:{}: ", self.port);
        eventually(reason, PATIENCE, async || {
            let answer = service.readyz().await;
            assert_eq!(answer.status, 503, "{answer:?}");
            (answer.body.contains(&place) && answer.body.contains(reason)).then_some(())
        })
        .await;
        service.says(reason).await;
        let report = Report::of(&self.configuration).await;
        let said = report.worst("redis.reach");
        assert!(said[0] == "fault" && said.join(" ").contains(reason.split(": ").next().expect("words")), "{said:?}");
    }

    async fn log_in(&self, service: &Service, person: &str) -> Answer {
        service.login(&self.bed.mint_code(person).await).await
    }
}

#[tokio::test]
async fn logins_go_through_tls_by_the_authority_that_the_settings_name_and_by_no_other() {
    let mut scene = Scene::start(false).await;
    let service = scene.service().await;
    service.ready().await;
    scene.log_in(&service, "lin").await.expect_login();
    let clients: String = scene.bed.redis.command(&["CLIENT", "LIST"]);
    let tls = format!("laddr=127.0.0.1:{}", scene.port);
    assert!(clients.lines().any(|client| client.contains(&tls) && client.contains("cmd=eval")), "{clients}");
    assert!(!service.log().contains("without TLS"));

    let strange = tempfile::tempdir().expect("a folder");
    Authority::new(strange.path());
    scene.configuration.set("WXMINT_REDIS_CA_FILE", &strange.path().join("ca.crt").to_string_lossy());
    scene.is_not_ready("its certificate is not trusted: no authority in WXMINT_REDIS_CA_FILE has signed it").await;
    scene.configuration.unset("WXMINT_REDIS_CA_FILE");
    scene.is_not_ready("set WXMINT_REDIS_CA_FILE to the PEM file of the authority").await;
    // A port of the other kind.
    scene.configuration.set("WXMINT_REDIS_URL", &format!("redis://localhost:{}", scene.port));
    scene.is_not_ready("does it want TLS on this port (rediss)?").await;
    scene.port = scene.bed.redis.port();
    scene.configuration.set("WXMINT_REDIS_URL", &format!("rediss://localhost:{}", scene.port));
    scene.is_not_ready("does it speak TLS on this port?").await;
}

#[tokio::test]
async fn a_new_authority_and_a_new_client_certificate_are_in_use_with_the_next_connection() {
    let mut scene = Scene::start(true).await;
    scene.is_not_ready("it wants a client certificate: set WXMINT_REDIS_CERT_FILE and WXMINT_REDIS_KEY_FILE").await;
    scene.ours.sign("client", &["wxmint"]);
    scene.show("client");
    let service = scene.service().await;
    service.ready().await;
    let user = scene.log_in(&service, "lin").await.expect_login().member("user_id");

    fs::write(scene.ours.path("client.key"), "half a key").expect("written");
    scene.bed.redis.command::<i64>(&["CLIENT", "KILL", "TYPE", "normal"]);
    served(&scene, &service, &user).await;
    until("told", PATIENCE, async || service.log().contains("keeping the previous ones")).await;

    let renewed = Authority::new(scene.ours.path("").as_path());
    renewed.sign("server", &["localhost"]);
    renewed.sign("client", &["wxmint"]);
    let path = |file| renewed.path(file).to_string_lossy().into_owned();
    let [certificate, key, ca] = ["server.crt", "server.key", "ca.crt"].map(path);
    let reload = ["CONFIG", "SET", "tls-cert-file", &certificate, "tls-key-file", &key, "tls-ca-cert-file", &ca];
    scene.bed.redis.command::<()>(&reload);
    scene.bed.redis.command::<i64>(&["CLIENT", "KILL", "TYPE", "normal"]);
    served(&scene, &service, &user).await;
}

async fn served(scene: &Scene, service: &Service, user: &str) {
    let answer = eventually("served", PATIENCE, async || {
        let answer = scene.log_in(service, "lin").await;
        (answer.status == 200).then_some(answer)
    });
    assert_eq!(answer.await.member("user_id"), user);
}

#[tokio::test]
async fn files_that_cannot_be_used_are_faults_of_the_settings() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ours, theirs) = (Authority::new(folder.path()), Authority::new(&folder.path().join("theirs")));
    ours.sign("client", &["wxmint"]);
    theirs.sign("client", &["wxmint"]);
    let path = |authority: &Authority, file: &str| authority.path(file).to_string_lossy().into_owned();
    for (ca, certificate, key, fault) in [
        (path(&ours, "none.crt"), String::new(), String::new(), "WXMINT_REDIS_CA_FILE: "),
        (path(&ours, "client.key"), String::new(), String::new(), "WXMINT_REDIS_CA_FILE: holds no certificate in PEM"),
        (String::new(), path(&ours, "client.crt"), path(&ours, "client.crt"), "WXMINT_REDIS_KEY_FILE: "),
        (
            String::new(),
            path(&ours, "client.crt"),
            path(&theirs, "client.key"),
            "WXMINT_REDIS_CERT_FILE and WXMINT_REDIS_KEY_FILE: ",
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
}

/// crates/redis-link/src/url.rs says of which URLs.
#[tokio::test]
async fn another_machine_without_tls_is_warned_about_at_the_start() {
    let mut configuration = Configuration::new("ES256");
    configuration.set("WXMINT_REDIS_URL", "redis://192.0.2.1");
    let service = Service::start(&configuration, Http::new()).await;
    service.says("WXMINT_REDIS_URL names another machine without TLS").await;
}
