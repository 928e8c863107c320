//! examples/peers/node, with Express and jose, examples/peers/python, with FastAPI and PyJWT, and the command line of
//! examples/scan-login.

use std::{net::SocketAddr, process::Command};

use serde_json::json;
use tempfile::TempDir;

use crate::example::{Example, Started, copy_example, example_folder, installs_what_is_tested};
use crate::scene::Scene;
use crate::support::{
    Answering, Manner, PATIENCE, Process, eventually, free_port, repository, tools,
};

/// As its README.md starts it, of the issuer at this address, with settings in place of those that the file has.
pub(crate) fn express(issuer: SocketAddr, settings: &[(&str, &str)]) -> Started {
    let port = free_port();
    let (issuer, listen) = (issuer.to_string(), format!("listen({port},"));
    // Node looks for packages above the script's own folder.
    let folder = TempDir::new_in(tools("node")).expect("a folder");
    let addresses = [("127.0.0.1:8080", &*issuer), ("listen(8000,", &*listen)];
    copy_example("node", &[&addresses, settings].concat(), folder.path());
    // A busy service collects its garbage at any time: also while a body is being read.
    let garbage = [
        "--expose-gc",
        "--import",
        "data:text/javascript,setInterval(gc,100).unref()",
    ];
    let mut node = Command::new("node");
    let process = Process::spawn(
        "node",
        node.current_dir(&folder).args(garbage).arg("app.mjs"),
    );
    Started {
        example: Example::new("node", port),
        _process: process,
        folder,
    }
}

pub(crate) fn fastapi(issuer: SocketAddr, settings: &[(&str, &str)]) -> Started {
    let port = free_port();
    let issuer = issuer.to_string();
    let folder = example_folder(
        "python",
        &[&[("127.0.0.1:8080", &*issuer)], settings].concat(),
    );
    let mut uvicorn = Command::new(tools("python/bin/uvicorn"));
    uvicorn
        .current_dir(&folder)
        .args(["app:app", "--port", &port.to_string()]);
    // A proxy of the machine's would be asked for the keys.
    uvicorn.envs([
        ("NO_PROXY", "127.0.0.1"),
        ("no_proxy", "127.0.0.1"),
        ("PYTHONDONTWRITEBYTECODE", "1"),
    ]);
    let process = Process::spawn("uvicorn", &mut uvicorn);
    Started {
        example: Example::new("python", port),
        _process: process,
        folder,
    }
}

/// Libraries accept `crit` where it names nothing, or what they know. What it says is a stranger's words in the log.
#[tokio::test(flavor = "multi_thread")]
async fn every_crit_is_refused_and_no_stranger_begins_a_line_of_the_log() {
    let scene = Scene::start().await;
    for start in [express, fastapi, crate::go::start] {
        let Started {
            example,
            _process: process,
            ..
        } = &start(scene.address(), &[]);
        eventually("it has keys", PATIENCE, async || {
            scene.is_let_in(example).await
        })
        .await;
        let forge = scene.forge();
        for header in [
            json!({"crit": ["b64"], "b64": true}),
            json!({"crit": ["a\nplanted"], "a\nplanted": 1}),
        ] {
            let token = forge.by_issuer(&forge.header_with(header.clone()), &forge.claims);
            assert_eq!(
                example.status(&token).await,
                Some(401),
                "{}: {header}",
                example.name
            );
        }
        let token = forge.by_issuer(&forge.header, &forge.claims_with(json!({"jti": null})));
        assert_eq!(
            example.status(&token).await,
            Some(401),
            "{}: a token that nothing can end",
            example.name
        );
        let lines = [process.stdout(), process.stderr()].concat();
        assert!(
            !lines.iter().any(|line| line.starts_with("planted")),
            "{}: {lines:#?}",
            example.name
        );
    }
}

/// The shell's arithmetic runs what is no number.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_at_a_command_line_runs_nothing_that_an_answer_says() {
    let (issuer, folder) = (Answering::start(), TempDir::new().expect("a folder"));
    for member in ["expires_in", "interval"] {
        let mut code =
            json!({"device_code": "a", "verification_uri_complete": "b", "expires_in": 60});
        code[member] = "SECONDS[$(touch planted)]".into();
        issuer.at(
            "/device_authorization",
            Manner::says("200 OK", "", code.to_string()),
        );
        let mut login = Command::new("bash");
        login
            .arg(repository("examples/scan-login/login.sh"))
            .current_dir(&folder);
        let login = login
            .envs([("ISSUER", &*issuer.url("")), ("CLIENT_ID", "cli")])
            .output()
            .expect("bash");
        assert!(
            !folder.path().join("planted").exists() && !login.status.success(),
            "{member}: {login:?}"
        );
    }
}

#[test]
fn the_node_and_python_examples_install_what_is_tested() {
    installs_what_is_tested(
        "examples/peers/node/package.json",
        "tests/tools/package.json",
    );
    installs_what_is_tested(
        "examples/scan-login/express/package.json",
        "tests/tools/package.json",
    );
    installs_what_is_tested(
        "examples/peers/python/requirements.txt",
        "tests/tools/requirements.txt",
    );
}
