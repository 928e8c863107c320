//! The processes: Redis, WeChat's simulator, and replicas of wxmint on the same files.

use std::net::{Ipv4Addr, SocketAddr};
use std::{env, fs::File, io::Write as _, sync::Arc};

use reqwest::Url;
use tokio::sync::{Mutex, MutexGuard};
use wxmint_verify::VerifierPolicy;
use wxmint_verify::peer::{Peer, TrustedIssuer};

use crate::books::Books;
use crate::client::Rotation;
use crate::plan::Plan;
use crate::support::prelude::*;

pub(crate) const REPLICAS: usize = 2;
/// A verifier looks at the keys at least every 7 s, and a replica reads its file every 2 s.
pub(crate) const LEAD: &str = "15s";
pub(crate) const TOKEN_TTL: &str = "5m";

pub(crate) struct World {
    replicas: Vec<Mutex<Replica>>,
    pub(crate) rotation: Arc<Rotation>,
    /// Verifiers call it. It leads to a replica that runs.
    pub(crate) front: Breakable,
    http: Http,
    pub(crate) configuration: Mutex<Configuration>,
    _apps: TempDir,
    pub(crate) exports: TempDir,
}

pub(crate) struct Replica {
    pub(crate) service: Service,
    public: SocketAddr,
    admin: SocketAddr,
    lines_read: usize,
    /// Warnings and errors of its log, to be read after a finding.
    warnings: File,
}

impl World {
    pub(crate) async fn start(
        redis: &str,
        wechat: &Simulator,
        accounts: SocketAddr,
        http: Http,
        plan: &Plan,
    ) -> Self {
        let apps = apps_folder(&[(APPID, APP_SECRET), (OTHER_APPID, OTHER_SECRET)]);
        let exports = tempfile::tempdir().expect("a folder");
        let mut configuration = configuration(redis, wechat, &apps, &exports);
        let file = exports.path().join("id.key");
        write_private(&file, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n");
        let of_ids = match plan.is_computed() {
            true => ("WXMINT_ID_KEY_FILE", file.to_string_lossy().into_owned()),
            false => ("WXMINT_ACCOUNTS", format!("http://{accounts}/wxmint")),
        };
        configuration.set("WXMINT_USER_IDS", plan.ids);
        configuration.set(of_ids.0, &of_ids.1);
        let configuration = Mutex::new(configuration);
        let mut replicas = Vec::new();
        fs::create_dir_all(repository("target/campaign")).expect("a folder");
        for number in 1..=REPLICAS {
            let warnings = File::create(repository(format!("target/campaign/wxmint-{number}.log")))
                .expect("a file");
            let [public, admin] =
                [(); 2].map(|()| SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())));
            let service = start(&configuration, public, admin, &http).await;
            replicas.push(Replica {
                service,
                public,
                admin,
                lines_read: 0,
                warnings,
            });
        }
        let rotation = Arc::new(Rotation::of(
            replicas.iter().map(|replica| replica.public).collect(),
        ));
        let front = Breakable::before(replicas[0].public).await;
        let replicas = replicas.into_iter().map(Mutex::new).collect();
        Self {
            replicas,
            rotation,
            front,
            http,
            configuration,
            _apps: apps,
            exports,
        }
    }

    /// A verifier that follows keys and ends through [`Self::front`].
    pub(crate) async fn verifier(&self) -> Peer {
        let url: Url = format!("{}/.well-known/jwks.json", self.front.url())
            .parse()
            .expect("a URL");
        let peer = Peer::start(vec![TrustedIssuer::at(
            url,
            VerifierPolicy::new(ISSUER, [ISSUER]),
        )])
        .expect("a peer");
        peer.is_ready().await;
        peer
    }

    pub(crate) async fn replica(&self, number: usize) -> MutexGuard<'_, Replica> {
        self.replicas[number].lock().await
    }

    /// Takes a replica out of rotation, for mini programs and for verifiers.
    pub(crate) fn take_out(&self, number: usize) {
        self.rotation.put(number, false);
        let other = self.rotation.addresses[(number + 1) % REPLICAS];
        if self.front.target() != other {
            self.front.lead_to(other);
        }
    }

    /// Starts a replica that has ended, at its old address.
    pub(crate) async fn start_again(&self, number: usize, books: &Books) {
        let mut replica = self.replica(number).await;
        replica.read_log(books);
        replica.service = start(
            &self.configuration,
            replica.public,
            replica.admin,
            &self.http,
        )
        .await;
        replica.lines_read = 0;
        drop(replica);
        self.rotation.put(number, true);
    }

    /// A command of wxmint with the replicas' settings, which must not fail.
    pub(crate) async fn run(&self, words: &[&str]) {
        let mut command = self.configuration.lock().await.command_of(words);
        let ended = tokio::task::spawn_blocking(move || Ended::of(&mut command, "")).await;
        let ended = ended.expect("no panic");
        assert_eq!(ended.code, Some(0), "{words:?}: {ended:?}");
    }

    /// `GET /users/{user_id}` of the admin listener.
    pub(crate) async fn show_user(&self, user: &str) -> Value {
        let replica = self.replica(0).await;
        replica
            .service
            .operate("GET", &format!("/users/{user}"), ADMIN_TOKEN, &Value::Null)
            .await
            .json()
    }

    pub(crate) async fn read_logs(&self, books: &Books) {
        for number in 0..REPLICAS {
            self.replica(number).await.read_log(books);
        }
    }
}

impl Replica {
    /// Finds the lines that it has logged since the last time and that must not be in a log.
    fn read_log(&mut self, books: &Books) {
        let lines = self.service.stderr_from(self.lines_read);
        self.lines_read += lines.len();
        let is_bad = |line: &&String| {
            [r#""level":"WARN""#, r#""level":"ERROR""#]
                .iter()
                .any(|it| line.contains(it))
        };
        lines
            .iter()
            .filter(is_bad)
            .for_each(|line| writeln!(self.warnings, "{line}").expect("a file"));
        let is_fault =
            |line: &&String| line.contains("panicked") || line.contains("internal_error");
        lines
            .iter()
            .filter(is_fault)
            .for_each(|line| books.find(format!("a log says: {line}")));
    }
}

async fn start(
    configuration: &Mutex<Configuration>,
    public: SocketAddr,
    admin: SocketAddr,
    http: &Http,
) -> Service {
    let mut configuration = configuration.lock().await;
    configuration.set("WXMINT_LISTEN", &public.to_string());
    configuration.set("WXMINT_ADMIN_LISTEN", &admin.to_string());
    let service = Service::start(&configuration, http.clone()).await;
    drop(configuration);
    service.ready().await;
    service
}

fn configuration(
    redis_url: &str,
    wechat: &Simulator,
    apps: &TempDir,
    folder: &TempDir,
) -> Configuration {
    let mut configuration = Configuration::new("ES256");
    let [admins, redis] = ["admins", "redis.url"].map(|file| folder.path().join(file));
    write_private(
        &admins,
        &format!("campaign {ADMIN_TOKEN} read,operate,wechat\n"),
    );
    write_private(&redis, redis_url);
    configuration.set_all([
        ("WXMINT_REDIS_URL_FILE", redis.to_str().expect("UTF-8")),
        ("WXMINT_WECHAT_URL", &wechat.url()),
        ("WXMINT_APPS_DIR", apps.path().to_str().expect("UTF-8")),
        ("WXMINT_AUTO_PROVISION", "true"),
        ("WXMINT_KEY_PREPUBLISH", LEAD),
        ("WXMINT_TOKEN_TTL", TOKEN_TTL),
        ("WXMINT_ADMIN_TOKENS_FILE", admins.to_str().expect("UTF-8")),
        ("WXMINT_LIMIT_USERNAME", "1000000/1s"),
        (
            "WXMINT_REDIS_CONFIRM",
            &env::var("CAMPAIGN_CONFIRM").unwrap_or_else(|_| "auto".into()),
        ),
    ]);
    for name in ["WXMINT_REDIS_URL", "WXMINT_APPID", "WXMINT_APP_SECRET"] {
        configuration.unset(name);
    }
    configuration
}

/// The secret of the operator who looks users up at the end.
const ADMIN_TOKEN: &str = "the-campaigns-operator-0123456789abcdef";
