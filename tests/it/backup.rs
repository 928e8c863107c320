//! docs/redis.md, by its own commands: what a backup brings back, and what it does not.

use crate::readme::blocks;
use crate::support::prelude::*;

/// The page's commands, and a folder to run them in.
struct Page {
    text: String,
    folder: TempDir,
}

impl Page {
    fn open() -> Self {
        let text = fs::read_to_string(repository("docs/redis.md")).expect("a page");
        Self {
            text,
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    /// The commands of that name, for a Redis at this port.
    fn command(&self, name: &str, port: u16) -> Command {
        let text = blocks(&self.text)[name].replace("6379", &port.to_string());
        let text = text.replace("\nredis-server", "\nexec redis-server");
        let mut bash = Command::new("bash");
        bash.args(["-euc", &text])
            .current_dir(&self.folder)
            .env_clear();
        bash.env("PATH", path_with_wxmint());
        bash.env("WXMINT_REDIS_URL", format!("redis://127.0.0.1:{port}"));
        bash
    }

    fn run(&self, name: &str, port: u16) {
        Ended::of(&mut self.command(name, port), "").expect_success();
    }
}

/// From then on the test bed's service is one on the Redis at this port.
async fn restore(bed: &mut TestBed, port: u16) {
    bed.configuration
        .set("WXMINT_REDIS_URL", &format!("redis://127.0.0.1:{port}"));
    bed.services[0] = bed.another().await;
}

fn block(user: &str, port: u16) {
    let mut command = command_on(
        &format!("redis://127.0.0.1:{port}"),
        &["users", "block", user],
    );
    Ended::of(&mut command, "").expect_success();
}

#[tokio::test]
async fn a_backup_brings_back_what_the_page_says_and_no_more() {
    let mut bed = TestBed::start().await;
    let page = Page::open();
    let lin = bed.log_in("lin").await.expect_login().member("user_id");
    let mei = bed.log_in("mei").await.expect_login().member("user_id");
    block(&mei, bed.redis.port());
    let ended = bed.log_in("tao").await.expect_login();
    bed.log_out(&ended, false).await;
    let (mut python, person) = (
        Command::new("python3"),
        format!("{APPID}:{}", bed.wechat.openid("lin").await),
    );
    python
        .args(["-c", &blocks(&page.text)["read"], &person])
        .env("WXMINT_REDIS_URL", bed.redis.url());
    let read = Ended::of(&mut python, "").stdout;
    let shown = bed.run(&["users", "show", &lin]).stdout;
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    let [unionid, bound_at] =
        ["unionid", "bound_at"].map(|name| shown["wechat"][0][name].to_string());
    assert_eq!(
        read,
        format!(
            "user {lin}\nunionid {}\nbound at {bound_at}\n",
            unionid.trim_matches('"')
        )
    );
    page.run("backup", bed.redis.port());
    let late = bed.log_in("late").await.expect_login().member("user_id");
    bed.redis.kill();

    // All of Redis.
    let port = free_port();
    let _redis = Process::spawn("the restored Redis", &mut page.command("restore", port));
    until("Redis", PATIENCE, async || {
        page.command("append", port)
            .output()
            .is_ok_and(|done| done.status.success())
    })
    .await;
    restore(&mut bed, port).await;
    assert_eq!(bed.log_in("lin").await.member("user_id"), lin);
    bed.log_in("mei").await.expect_problem(403, "user_blocked");
    assert!(!bed.accepts(&ended).await);
    assert_ne!(
        bed.log_in("late").await.member("user_id"),
        late,
        "it came after the backup"
    );

    // The bindings alone: blocks and ends are gone, until somebody blocks again and replaces the keys.
    let empty = RedisServer::start(&[], "").await;
    page.run("bindings", empty.port());
    restore(&mut bed, empty.port()).await;
    assert_eq!(bed.log_in("lin").await.member("user_id"), lin);
    assert_eq!(
        bed.log_in("mei").await.expect_login().member("user_id"),
        mei
    );
    block(&mei, empty.port());
    bed.log_in("mei").await.expect_problem(403, "user_blocked");
    assert!(
        bed.accepts(&ended).await,
        "nobody knows that it was revoked"
    );
    keys(
        &bed.configuration.path("keys.json"),
        &["generate", "--replace", "--yes"],
    );
    until("the keys are replaced", PATIENCE, async || {
        !bed.accepts(&ended).await
    })
    .await;
}
