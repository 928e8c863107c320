//! TLS: which servers are trusted, the messages for those that are not, and files that are
//! replaced.

use std::fs;

use tempfile::TempDir;
use wxmint_redis_link::{Confirm, Program, RedisAccess, RedisClient, TlsFiles};

use super::support::{
    Authority, PATIENCE, RedisServer, eventually, free_port, is_there, until, write,
};

/// A server with TLS, the authority that has signed its certificate, and the right URL and files.
struct Scene {
    server: RedisServer,
    ours: Authority,
    url: String,
    files: TlsFiles,
    folder: TempDir,
}

impl Scene {
    /// Starts the server with the certificate `server`, which `sign` makes.
    async fn start(wants_client: bool, further: &[&str], sign: impl FnOnce(&Authority)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ours = Authority::new(folder.path());
        sign(&ours);
        let port = free_port();
        let mut options = ours.redis_options(port, "server", wants_client);
        options.extend(further.iter().map(|&option| option.to_owned()));
        let server = RedisServer::start(&options, "").await;
        let files = TlsFiles {
            ca: Some(ours.path("ca.crt")),
            client: None,
        };
        Self {
            server,
            ours,
            url: format!("rediss://localhost:{port}"),
            files,
            folder,
        }
    }

    async fn for_localhost(wants_client: bool) -> Self {
        Self::start(wants_client, &[], |ours| {
            ours.sign("server", &["localhost"]);
        })
        .await
    }

    fn link(&self) -> RedisClient {
        let url = self.url.parse().expect("a URL");
        let access = RedisAccess::new(
            url,
            self.files.clone(),
            Confirm::Replicas(0),
            Program::default(),
        );
        RedisClient::new(&access.expect("files that can be used"), ())
    }

    async fn is_refused(&self, reason: &str) {
        let refused = write(&self.link(), "a").await.expect_err(reason);
        assert!(refused.to_string().contains(reason), "{refused}");
    }

    async fn is_served(&self) {
        eventually("answered", PATIENCE, async || {
            write(&self.link(), "a").await.ok()
        })
        .await;
    }
}

#[tokio::test(flavor = "local")]
async fn a_certificate_is_trusted_if_the_named_authority_has_signed_it_for_this_host_and_time() {
    let mut scene = Scene::for_localhost(false).await;
    scene.is_served().await;
    let strange = scene.folder.path().join("strange");
    Authority::new(&strange);
    scene.files.ca = Some(strange.join("ca.crt"));
    scene
        .is_refused(
            "its certificate is not trusted: no authority in the file of authorities has signed it",
        )
        .await;
    scene.files.ca = None;
    scene
        .is_refused("set the file of authorities to the PEM file of the authority")
        .await;
    // A URL with TLS for a port without it, and the reverse.
    let tls = scene.url.replace("rediss", "redis");
    scene.url = format!("rediss://localhost:{}", scene.server.port());
    scene.is_refused("does it speak TLS on this port?").await;
    scene.url = tls;
    scene
        .is_refused("does it want TLS on this port (rediss)?")
        .await;
    let scene = Scene::start(false, &[], |ours| {
        ours.sign("server", &["redis.example.com"]);
    })
    .await;
    scene
        .is_refused("its certificate is not for localhost but for redis.example.com")
        .await;
    let scene = Scene::start(false, &[], |ours| {
        ours.sign_until("server", &["localhost"], 2020);
    })
    .await;
    scene.is_refused("its certificate has expired").await;
}

#[tokio::test(flavor = "local")]
async fn a_server_that_wants_a_certificate_gets_it_and_replaced_files_are_in_use_with_the_next_connection_if_whole()
 {
    let mut scene = Scene::for_localhost(true).await;
    scene
        .is_refused("it wants a client certificate: set the file of the client certificate")
        .await;
    let theirs = Authority::new(&scene.folder.path().join("theirs"));
    theirs.sign("client", &["somebody"]);
    scene.files.client = Some((theirs.path("client.crt"), theirs.path("client.key")));
    scene
        .is_refused("it refuses the certificate in the file of the client certificate")
        .await;
    scene.ours.sign("client", &["somebody"]);
    scene.files.client = Some((scene.ours.path("client.crt"), scene.ours.path("client.key")));
    let link = scene.link();
    write(&link, "a").await.expect("answered");

    let comes_back = async |key| {
        scene
            .server
            .command::<i64>(&["CLIENT", "KILL", "TYPE", "normal"]);
        until("answered", PATIENCE, async || {
            write(&link, key).await.is_ok()
        })
        .await;
    };
    fs::write(scene.ours.path("client.key"), "half a key").expect("written");
    comes_back("b").await;
    let renewed = Authority::new(scene.folder.path());
    renewed.sign("server", &["localhost"]);
    renewed.sign("client", &["somebody"]);
    let path = |file| renewed.path(file).to_string_lossy().into_owned();
    let [certificate, key, ca] = ["server.crt", "server.key", "ca.crt"].map(path);
    let reload = [
        "CONFIG",
        "SET",
        "tls-cert-file",
        &certificate,
        "tls-key-file",
        &key,
        "tls-ca-cert-file",
        &ca,
    ];
    scene.server.command::<()>(&reload);
    comes_back("c").await;
    assert_eq!(is_there(&link, "a").await, Ok(true));
}

#[tokio::test(flavor = "local")]
async fn on_a_cluster_the_certificate_is_held_against_the_name_that_each_server_announces() {
    let hostname = [
        "--cluster-announce-hostname",
        "localhost",
        "--cluster-preferred-endpoint-type",
        "hostname",
    ];
    for (announced, reason) in [
        (&[][..], None),
        (&hostname, None),
        (
            &["--cluster-announce-ip", "127.0.0.1"],
            Some("its certificate is not for 127.0.0.1 but for localhost"),
        ),
    ] {
        let options = [
            &["--cluster-enabled", "yes", "--tls-cluster", "yes"],
            announced,
        ]
        .concat();
        let mut scene =
            Scene::start(false, &options, |ours| ours.sign("server", &["localhost"])).await;
        scene
            .server
            .command::<()>(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
        until("slots", PATIENCE, async || {
            scene
                .server
                .command::<String>(&["CLUSTER", "INFO"])
                .contains("cluster_state:ok")
        })
        .await;
        scene.url = scene.url.replace("rediss", "rediss+cluster");
        match reason {
            Some(reason) => scene.is_refused(reason).await,
            None => scene.is_served().await,
        }
    }
}

#[tokio::test(flavor = "local")]
async fn sentinels_and_the_primary_that_they_name_are_reached_with_tls_and_the_password() {
    let options = ["--tls-replication", "yes", "--masterauth", "hunter2"];
    let mut scene = Scene::start(false, &options, |ours| {
        ours.sign("server", &["localhost", "127.0.0.1"]);
    })
    .await;
    scene
        .server
        .command::<()>(&["CONFIG", "SET", "requirepass", "hunter2"]);
    let (port, primary) = (
        free_port(),
        scene.url.rsplit_once(':').expect("a port").1.to_owned(),
    );
    let mut options = vec![
        super::support::EMPTY_FILE.to_owned(),
        "--sentinel".to_owned(),
    ];
    options.extend(scene.ours.redis_options(port, "server", false));
    options.extend(["--tls-replication", "yes"].map(str::to_owned));
    let sentinel = RedisServer::start(&options, "hunter2").await;
    sentinel.command::<()>(&["SENTINEL", "MONITOR", "main", "127.0.0.1", &primary, "1"]);
    sentinel.command::<()>(&["SENTINEL", "SET", "main", "auth-pass", "hunter2"]);
    scene.url = format!("rediss+sentinel://:hunter2@localhost:{port}/main");
    scene.is_served().await;
}
