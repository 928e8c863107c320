//! examples/peers/java-spring/Ends.java, which needs the JDK alone. Orders.java stands in for Spring around it.

use std::{fs, process::Command};

use tempfile::TempDir;

use super::{issuer::Issuer, keeps_the_newest, obeys_the_feed};
use crate::{
    example::{Example, copy_example},
    support::{Process, free_port, repository},
};

struct Orders {
    example: Example,
    _process: Process,
    _folder: TempDir,
}

impl Orders {
    fn start(issuer: &Issuer, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        copy_example("java-spring", settings, folder.path());
        fs::copy(repository("tests/peers/ended/Orders.java"), folder.path().join("Orders.java")).expect("a copy");
        let mut javac = Command::new("javac");
        javac.current_dir(&folder).args(["-d", ".", "Ends.java", "Orders.java"]);
        let compiled = javac.output().unwrap_or_else(|error| panic!("javac: {error}; run: make setup"));
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        let (port, url) = (free_port(), format!("http://{}", issuer.address));
        let mut java = Command::new("java");
        java.current_dir(&folder).args(["-cp", ".", "com.example.orders.Orders", &port.to_string(), &url]);
        let process = Process::spawn("java", &mut java);
        Self { example: Example::new("java-spring", port), _process: process, _folder: folder }
    }
}

fn start(issuer: &Issuer, closed: bool, more: &[(&str, &str)]) -> Orders {
    let fail = [("FAIL_CLOSED = false;", "FAIL_CLOSED = true;")];
    let often = [
        ("EVERY = 5_000;", "EVERY = 100;"),
        ("DEADLINE = 4_000;", "DEADLINE = 1_000;"),
        ("MAX_AGE = 60;", "MAX_AGE = 2;"),
        ("FIRST_PAGE_WITHIN = 10;", "FIRST_PAGE_WITHIN = 3;"),
    ];
    Orders::start(issuer, &[&often[..], &fail[..usize::from(closed)], more].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn java_refuses_what_was_ended() {
    obeys_the_feed(|issuer, closed| start(issuer, closed, &[]), |orders| &orders.example).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn java_keeps_the_newest_ends_when_it_is_full() {
    let full = [("MOST_ENDS = 1_000_000;", "MOST_ENDS = 20;")];
    keeps_the_newest(|issuer, closed| start(issuer, closed, &full), |orders| &orders.example).await;
}
