//! Acts of a business at WeChat after the login, with a secret of the admin listener: examples/pushes and
//! examples/after-login as processes, in Node and in Python, before the real service and the simulator.

mod described;
mod page;
mod pushes;
mod stories;

use crate::support::prelude::*;

/// The secrets of the receiver of pushes, of the shop, and of the one who looks from outside.
const RECEIVER: &str = "planted-secret-of-the-receiver-4b1d9a";
const SHOP: &str = "planted-secret-of-the-shop-000000077c0e2";
const WITNESS: &str = "planted-secret-of-the-witness-0000e51f";
/// Has all rights, because its line names none.
const ALL: &str = "planted-secret-of-on-call-00000000a91c";

/// wxmint with three secrets, and what a business runs beside it.
struct Business {
    bed: TestBed,
    _apps: TempDir,
}

impl Business {
    async fn start() -> Self {
        let lines = &format!(
            "receiver {RECEIVER} read,operate\nshop {SHOP} wechat\nwitness {WITNESS} read\non-call {ALL} read,operate,wechat\n"
        );
        let app = json!({"kind": "mini_program", "secret": APP_SECRET, "payment_key": "0123456789abcdef"});
        let apps = apps_folder(&[(APPID, &app.to_string())]);
        Self {
            bed: TestBed::builder()
                .breakable_redis()
                .apps_folder(apps.path())
                .operators(lines)
                .start()
                .await,
            _apps: apps,
        }
    }

    /// Starts a program of `examples` in the language of its ending; the URL at which it listens.
    async fn run(&self, file: &str, variables: &[(&str, &str)]) -> (Process, String) {
        let (port, admin) = (
            free_port().to_string(),
            format!("http://{}", self.bed.service().admin),
        );
        let mut command = interpreter(file);
        command.arg(repository("examples").join(file));
        command
            .envs([("PORT", port.as_str()), ("ADMIN", &admin), ("APPID", APPID)])
            .envs(variables.iter().copied());
        let process = Process::spawn(file, &mut command);
        process.says("listening on").await;
        (process, format!("http://127.0.0.1:{port}"))
    }

    async fn ask(&self, path: &str) -> Answer {
        self.bed
            .service()
            .operate("GET", path, WITNESS, &Value::Null)
            .await
    }

    /// How many audit events so far have this name.
    async fn acts_of(&self, name: &str) -> usize {
        // Whatever was asked before stands in the log before this.
        let marker = format!("marker-{}", free_port());
        self.ask(&format!("/users/{marker}")).await;
        self.bed.service().says(&marker).await;
        audit::requests(self.bed.service())
            .iter()
            .filter(|event| event["by"] == name)
            .count()
    }

    /// The user id of a person, by the openid that WeChat's pushes name.
    async fn user_of(&self, openid: &str) -> Option<String> {
        let answer = self.ask(&format!("/wechat/{APPID}/people/{openid}")).await;
        assert!([200, 404].contains(&answer.status), "{answer:?}");
        (answer.status == 200).then(|| answer.member("user_id"))
    }
}

/// The program of an absolute path, or Node or Python for an example, with nothing of our environment but PATH.
fn interpreter(file: &str) -> Command {
    let program = match file.rsplit('.').next() {
        Some("py") => tools("python/bin/python"),
        Some("mjs") => "node".into(),
        _ => file.into(),
    };
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", path_with_wxmint())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}
