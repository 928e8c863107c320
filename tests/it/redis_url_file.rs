//! `WXMINT_REDIS_URL_FILE` changes while `wxmint serve` runs.

use crate::support::prelude::*;

/// The service looks at the file every 2 s (docs/redis.md), and needs a moment to try the URL.
const WITHIN: Duration = BUSY.saturating_add(Duration::from_secs(5));

struct Scene {
    bed: TestBed,
    file: PathBuf,
    _folder: TempDir,
}

impl Scene {
    /// The service has begun with an address at which nobody listens, and got the right one from its file.
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("url");
        fs::write(&file, "redis://127.0.0.1:1\n").expect("written");
        let builder = TestBed::builder().env("WXMINT_REDIS_URL", "").not_ready();
        let bed = builder.env("WXMINT_REDIS_URL_FILE", &file.to_string_lossy()).start().await;
        let scene = Self { bed, file, _folder: folder };
        scene.give("first", &["reset", "on", "~*", "&*", "+@all"]);
        replace(&scene.file, &scene.url("first"));
        scene.bed.service().ready().await;
        scene
    }

    /// The user of wxmint in Redis gets `password`, and these rules.
    fn give(&self, password: &str, rules: &[&str]) {
        let password = format!(">{password}");
        self.bed.redis.command::<()>(&[&["ACL", "SETUSER", "wxmint"], rules, &[&password]].concat());
    }

    /// Ends `password` for those who come and those who are in.
    fn take(&self, password: &str) {
        self.bed.redis.command::<()>(&["ACL", "SETUSER", "wxmint", &format!("<{password}")]);
        self.bed.redis.command::<i64>(&["CLIENT", "KILL", "USER", "wxmint"]);
    }

    fn url(&self, password: &str) -> String {
        format!("redis://wxmint:{password}@127.0.0.1:{}", self.bed.redis.port())
    }

    async fn is_refused(&self) -> bool {
        self.bed.service().metric("wxmint_reload_refused{what=\"redis_url\"}").await == 1.0
    }
}

#[tokio::test]
async fn a_password_that_the_file_has_before_redis_costs_no_login_and_another_password_or_address_is_in_use_within_5_s()
{
    let scene = Scene::start().await;
    replace(&scene.file, &scene.url("second"));
    until("refused", WITHIN, async || scene.is_refused().await).await;
    scene.bed.log_in("lin").await.expect_login();
    let told = scene.bed.service().reasons("ERROR");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("it refuses the user name or the password") && !told[0].contains("second"), "{told:?}");

    scene.give("second", &[]);
    until("mended", WITHIN, async || !scene.is_refused().await).await;
    scene.take("first");
    until("served", PATIENCE, async || scene.bed.log_in("lin").await.status == 200).await;

    let other = RedisServer::start(&[], "hunter3").await;
    replace(&scene.file, &other.url());
    until("moved", WITHIN, async || {
        scene.bed.log_in("mei").await.expect_login();
        other.command::<i64>(&["DBSIZE"]) > 0
    })
    .await;
}
