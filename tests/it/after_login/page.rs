//! docs/after-login.md: its commands are run, what they print looks as the page shows, its programs are files.

use std::os::unix::fs::symlink;

use super::{ALL, Business, interpreter};
use crate::readme::blocks;
use crate::support::prelude::*;

/// The commands that print an answer and end, in an order in which all have something to show.
const ASKING: [&str; 9] = [
    "describe",
    "generate",
    "signature",
    "encrypt-keys",
    "access-token",
    "renew",
    "person",
    "openids",
    "end",
];
const RUNNING: [&str; 4] = ["service", "service-python", "receiver", "receiver-python"];

fn page() -> String {
    fs::read_to_string(repository("docs/after-login.md")).expect("a page")
}

#[test]
fn every_command_is_run_and_the_examples_want_what_is_tested() {
    let mut known = [&ASKING[..], &RUNNING].concat();
    known.sort_unstable();
    assert_eq!(blocks(&page()).into_keys().collect::<Vec<_>>(), known);
    for folder in ["after-login", "pushes"] {
        let wanted = fs::read_to_string(repository(format!("examples/{folder}/requirements.txt")))
            .expect("a file");
        let tested =
            fs::read_to_string(repository("tests/tools/requirements.txt")).expect("a file");
        let mut wanted = wanted.lines().filter(|line| !line.starts_with('#'));
        assert!(
            wanted.all(|line| tested.lines().any(|other| other == line)),
            "{folder} wants what is not tested"
        );
    }
}

/// The JSON that the page shows below a command.
fn example(page: &str, name: &str) -> Option<Value> {
    let (_, below) = page.split_once(&format!("<!-- test: {name} -->\n"))?;
    let until_next = below.split("<!-- test: ").next()?;
    let json = until_next.split_once("```json\n")?.1.split("```").next()?;
    Some(serde_json::from_str(json).unwrap_or_else(|error| panic!("{name}: {error}")))
}

/// Names of members, and kinds of values.
fn form(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), form(value)))
            .collect(),
        Value::Array(values) => values.iter().take(1).map(form).collect(),
        Value::String(_) => json!("text"),
        Value::Number(number) => json!(if number.is_i64() { "integer" } else { "number" }),
        other => other.clone(),
    }
}

/// A reader's shell, in which the variables of the page are set.
struct Shell {
    folder: TempDir,
    variables: BTreeMap<&'static str, String>,
}

impl Shell {
    async fn of(business: &Business) -> Self {
        // npx looks for programs above the folder in which it is started.
        let folder = TempDir::new_in(tools("node")).expect("a folder");
        symlink(repository("examples"), folder.path().join("examples")).expect("a link");
        let user = business
            .bed
            .log_in("lin")
            .await
            .expect_login()
            .member("user_id");
        let path = format!(
            "{}:{}",
            tools("python/bin").display(),
            std::env::var("PATH").unwrap_or_default()
        );
        let variables = BTreeMap::from([
            ("ADMIN", format!("http://{}", business.bed.service().admin)),
            ("APPID", APPID.to_owned()),
            ("SECRET", ALL.to_owned()),
            ("USER_ID", user),
            ("OPENID", business.bed.wechat.openid("lin").await),
            ("PUSH_TOKEN", "a token".to_owned()),
            ("PUSH_AES_KEY", super::pushes::AES_KEY.to_owned()),
            ("PATH", path),
            ("HOME", folder.path().display().to_string()),
        ]);
        Self { folder, variables }
    }

    fn command(&self, text: &str) -> Command {
        let mut bash = interpreter("/bin/bash");
        bash.args(["-euo", "pipefail", "-c", text])
            .current_dir(self.folder.path())
            .envs(&self.variables);
        bash
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_page_do_what_it_says() {
    let (business, page) = (Business::start().await, page());
    let (shell, commands) = (Shell::of(&business).await, blocks(&page));
    for name in ASKING {
        let ended = Ended::of(&mut shell.command(&commands[name]), "").expect_success();
        if let Some(example) = example(&page, name) {
            let printed: Value = serde_json::from_str(&ended.stdout).expect("JSON");
            assert_eq!(form(&printed), form(&example), "{name}");
        }
    }
    let made =
        fs::read_to_string(shell.folder.path().join("admin.d.ts")).expect("what `generate` makes");
    assert!(
        made.contains("\"/users/{user_id}/wechat/{appid}/signature\""),
        "{made}"
    );
    for name in RUNNING {
        let port = free_port().to_string();
        let process = Process::spawn(
            name,
            shell
                .command(&format!("exec env {}", commands[name]))
                .env("PORT", &port),
        );
        process.says(&format!("listening on {port}")).await;
    }
}
