//! The services that follow the feed by themselves, with the times of a test in place of their own.

use std::{net::SocketAddr, process::Command};

use super::{believes_no_old_keys, issuer::Issuer, keeps_the_newest, obeys_a_page_of_a_new_key, obeys_the_feed};
use crate::{
    example::{Example, Started, copy_example},
    go::OFTEN,
    scripts::{express, fastapi},
    support::{Process, free_port, repository},
};

type Setting = (&'static str, &'static str);

struct Service {
    start: fn(SocketAddr, &[(&str, &str)]) -> Started,
    often: &'static [Setting],
    closed: Setting,
    /// Holds 20 ends.
    full: Setting,
    /// Believes keys for 3 s.
    old_keys: &'static [Setting],
}

const GO: Service = Service {
    start: crate::go::start,
    often: &[
        OFTEN[1],
        ("lookEvery       = 5 * time.Second", "lookEvery       = 49 * time.Millisecond"),
        ("maxAge          = 60 * time.Second", "maxAge          = 2 * time.Second"),
        ("firstPageWithin = 10 * time.Second", "firstPageWithin = 2 * time.Second"),
        ("Timeout: 5 * time.Second", "Timeout: 1 * time.Second"),
    ],
    closed: ("failClosed      = false ", "failClosed      = true "),
    full: ("maxRevocations  = 1_000_000 ", "maxRevocations  = 20 "),
    old_keys: &[OFTEN[0], OFTEN[1], ("keysMaxAge   = 24 * time.Hour", "keysMaxAge   = 3 * time.Second")],
};

const NODE: Service = Service {
    start: express,
    often: &[
        ("EVERY = 5_000;", "EVERY = 50;"),
        ("DEADLINE = 4_000;", "DEADLINE = 1_000;"),
        ("MAX_AGE = 60;", "MAX_AGE = 2;"),
        ("FIRST_PAGE_WITHIN = 10;", "FIRST_PAGE_WITHIN = 2;"),
    ],
    closed: ("FAIL = \"open\";", "FAIL = \"closed\";"),
    full: ("MOST_REVOCATIONS = 1_000_000;", "MOST_REVOCATIONS = 20;"),
    old_keys: &[
        ("EVERY = 300_000;", "EVERY = 500;"),
        ("KEYS_MAX_AGE = 86_400_000;", "KEYS_MAX_AGE = 3_000;"),
        ("EVERY = 5_000;", "EVERY = 100;"),
    ],
};

const PYTHON: Service = Service {
    start: fastapi,
    often: &[
        ("EVERY = 5 ", "EVERY = 0.05 "),
        ("DEADLINE = 4 ", "DEADLINE = 1 "),
        ("MAX_AGE = 60 ", "MAX_AGE = 2 "),
        ("FIRST_PAGE_WITHIN = 10 ", "FIRST_PAGE_WITHIN = 2 "),
    ],
    closed: ("FAIL = \"open\"", "FAIL = \"closed\""),
    full: ("MOST_REVOCATIONS = 1_000_000 ", "MOST_REVOCATIONS = 20 "),
    old_keys: &[("EVERY = 300 ", "EVERY = 0.5 "), ("MAX_AGE = 86_400 ", "MAX_AGE = 3 ")],
};

/// Revocations.java and Keys.java need the JDK alone. Orders.java stands in for Spring around them.
const JAVA: Service = Service {
    start: |issuer, settings| java(issuer, settings, &[]),
    often: &[
        ("EVERY = 5_000;", "EVERY = 50;"),
        ("DEADLINE = 4_000;", "DEADLINE = 1_000;"),
        ("MAX_AGE = 60;", "MAX_AGE = 2;"),
        ("FIRST_PAGE_WITHIN = 10;", "FIRST_PAGE_WITHIN = 3;"),
    ],
    closed: ("FAIL_CLOSED = false;", "FAIL_CLOSED = true;"),
    full: ("MOST_REVOCATIONS = 1_000_000;", "MOST_REVOCATIONS = 20;"),
    old_keys: &[
        ("EVERY = 5_000;", "EVERY = 100;"),
        ("EVERY = 300_000;", "EVERY = 500;"),
        ("MAX_AGE = 86_400;", "MAX_AGE = 3;"),
    ],
};

const PHP: Service = Service {
    start: super::super::php::start,
    often: &[
        ("EVERY = 5;", "EVERY = 0.1;"),
        ("DEADLINE = 4;", "DEADLINE = 1;"),
        ("const MAX_AGE = 60;", "const MAX_AGE = 2;"),
        ("FIRST_PAGE_WITHIN = 10;", "FIRST_PAGE_WITHIN = 2;"),
        ("KEYS_EVERY_FOR_A_PAGE = 10;", "KEYS_EVERY_FOR_A_PAGE = 1;"),
    ],
    closed: ("FAIL = 'open';", "FAIL = 'closed';"),
    full: ("MOST_REVOCATIONS = 1_000_000;", "MOST_REVOCATIONS = 20;"),
    old_keys: &[
        ("EVERY = 5;", "EVERY = 0.1;"),
        ("KEYS_EVERY = 300;", "KEYS_EVERY = 0;"),
        ("KEYS_MAX_AGE = 86_400;", "KEYS_MAX_AGE = 3;"),
    ],
};

const SPRING: Service = Service { start: super::super::java_spring::start, ..JAVA };

/// With the secret and the end of old tokens, if there is one.
pub(super) fn java(issuer: SocketAddr, settings: &[(&str, &str)], old: &[&str]) -> Started {
    let folder = tempfile::tempdir().expect("a folder");
    copy_example("java-spring", settings, folder.path());
    let ours =
        ["tests/peers/ended/Orders.java", "examples/move/spring/src/main/java/com/example/orders/OldTokens.java"];
    let mut javac = Command::new("javac");
    javac.current_dir(&folder).args(["-d", ".", "-sourcepath", "src/main/java"]).args(ours.map(repository));
    let compiled = javac.output().unwrap_or_else(|error| panic!("javac: {error}; run: make setup"));
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let (port, url) = (free_port(), format!("http://{issuer}"));
    let mut java = Command::new("java");
    java.current_dir(&folder).args([
        "-XX:TieredStopAtLevel=1",
        "-cp",
        ".",
        "com.example.orders.Orders",
        &port.to_string(),
        &url,
    ]);
    java.args(old);
    Started { example: Example::new("java-spring", port), process: Process::spawn("java", &mut java), folder }
}

impl Service {
    fn start(&self, issuer: &Issuer, is_closed: bool, more: &[Setting]) -> Started {
        let closed = [self.closed];
        (self.start)(issuer.address, &[self.often, &closed[..usize::from(is_closed)], more].concat())
    }
}

macro_rules! services {
    ($($name:ident: $service:ident, [$($law:ident),*];)*) => {$(
        mod $name {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $law() {
                    super::$law(super::$service).await;
                }
            )*
        }
    )*};
    ($ignored:meta, $name:ident: $service:ident, [$($law:ident),*]) => {
        mod $name {
            $(
                #[tokio::test(flavor = "multi_thread")]
                #[$ignored]
                async fn $law() {
                    super::$law(super::$service).await;
                }
            )*
        }
    };
}

services! {
    go: GO, [refuses_what_was_ended, learns_of_a_retired_key, believes_no_keys_that_are_too_old, keeps_the_newest_ends];
    node: NODE, [refuses_what_was_ended, learns_of_a_retired_key, believes_no_keys_that_are_too_old, keeps_the_newest_ends];
    python: PYTHON, [refuses_what_was_ended, learns_of_a_retired_key, believes_no_keys_that_are_too_old, keeps_the_newest_ends];
    java: JAVA, [refuses_what_was_ended, keeps_the_newest_ends];
}

services! {
    ignore = "slow; make nightly runs it",
    java_keys: JAVA, [learns_of_a_retired_key, believes_no_keys_that_are_too_old]
}

services! {
    ignore = "nightly: tests/tools/registries.sh",
    php: PHP, [refuses_what_was_ended, learns_of_a_retired_key, believes_no_keys_that_are_too_old, keeps_the_newest_ends]
}

services! {
    ignore = "needs Spring's jars: tests/tools/registries.sh",
    java_spring: SPRING, [refuses_what_was_ended, learns_of_a_retired_key, believes_no_keys_that_are_too_old, keeps_the_newest_ends]
}

async fn refuses_what_was_ended(service: Service) {
    obeys_the_feed(|issuer, closed| service.start(issuer, closed, &[]), |started| &started.example).await;
}

async fn learns_of_a_retired_key(service: Service) {
    obeys_a_page_of_a_new_key(|issuer, closed| service.start(issuer, closed, &[]), |started| &started.example).await;
}

async fn believes_no_keys_that_are_too_old(service: Service) {
    believes_no_old_keys(|issuer| (service.start)(issuer.address, service.old_keys), |started| &started.example).await;
}

async fn keeps_the_newest_ends(service: Service) {
    keeps_the_newest(|issuer, closed| service.start(issuer, closed, &[service.full]), |started| &started.example).await;
}
