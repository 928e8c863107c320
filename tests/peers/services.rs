//! The services that verify by themselves and follow the feed, with the times of a test in place of their own. Each is asked the
//! same.

use std::{net::SocketAddr, process::Command, time::Duration};

use crate::{
    checks::{self, Exceptions, LOOKS_AT_THE_FEED},
    ended::{Issuer, believes_no_old_keys, keeps_the_newest, obeys_a_page_of_a_new_key, obeys_the_feed},
    example::{Example, Started},
    go::OFTEN,
    key_source::{KeySource, bad_keys_spoil_themselves_only, follow},
    scene::Scene,
    scripts::{express, fastapi},
    support::{PATIENCE, Process, eventually, free_port, repository},
};

type Setting = (&'static str, &'static str);

struct Service {
    start: fn(SocketAddr, &[(&str, &str)]) -> Started,
    /// Takes what `checks::tokens` calls so.
    exceptions: Exceptions<'static>,
    /// Notices soon that the issuer is there.
    eager: &'static [Setting],
    /// At most, for forty unknown keys.
    fetches: u64,
    /// Looks for keys every second, or asks for them again and again where it never stops looking.
    looks: &'static [Setting],
    /// How it writes the address of its keys, and another one in the place of URL.
    jwks: Setting,
    algorithms: &'static [&'static str],
    /// Follows the feed by the time of a test.
    often: &'static [Setting],
    closed: Setting,
    /// Holds 20 ends.
    full: Setting,
    /// Believes keys for 3 s.
    old_keys: &'static [Setting],
}

const THE_LAST: Exceptions<'_> = &[("duplicate member", "if a member occurs twice, it takes the last one")];

const GO: Service = Service {
    start: crate::go::start,
    exceptions: &[],
    eager: &OFTEN,
    fetches: LOOKS_AT_THE_FEED,
    looks: &[OFTEN[0], OFTEN[1], ("Timeout: 5 * time.Second", "Timeout: 1 * time.Second")],
    jwks: ("issuer + \"/.well-known/jwks.json\"", "\"URL\""),
    algorithms: &["EdDSA", "RS256"],
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
    exceptions: THE_LAST,
    eager: &[],
    fetches: LOOKS_AT_THE_FEED,
    looks: &[("EVERY = 300_000;", "EVERY = 1_000;")],
    jwks: ("${this.issuer}/.well-known/jwks.json", "URL"),
    algorithms: &[],
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
    exceptions: THE_LAST,
    eager: &[],
    fetches: LOOKS_AT_THE_FEED,
    looks: &[("EVERY = 300 ", "EVERY = 1 ")],
    jwks: ("{ISSUER}/.well-known/jwks.json", "URL"),
    algorithms: &[],
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

/// Of clients/java what needs the JDK alone. Orders.java stands in for Spring and Nimbus around it.
const JAVA: Service = Service {
    start: |issuer, settings| java(issuer, settings, &[]),
    exceptions: &[],
    eager: &[],
    fetches: LOOKS_AT_THE_FEED,
    looks: &[("EVERY = 300_000;", "EVERY = 1_000;")],
    jwks: ("URI.create(issuer + \"/.well-known/jwks.json\")", "URI.create(\"URL\")"),
    algorithms: &["RS256"],
    often: &[
        ("EVERY = 5_000;", "EVERY = 50;"),
        ("DEADLINE = 4_000;", "DEADLINE = 1_000;"),
        ("MAX_AGE = 60;", "MAX_AGE = 2;"),
        ("FIRST_PAGE_WITHIN = 10;", "FIRST_PAGE_WITHIN = 3;"),
    ],
    closed: ("revocations: open", "revocations: closed"),
    full: ("MOST_REVOCATIONS = 1_000_000;", "MOST_REVOCATIONS = 20;"),
    old_keys: &[
        ("EVERY = 5_000;", "EVERY = 100;"),
        ("EVERY = 300_000;", "EVERY = 500;"),
        ("MAX_AGE = 86_400;", "MAX_AGE = 3;"),
    ],
};

const PHP: Service = Service {
    start: crate::php::start,
    exceptions: THE_LAST,
    eager: &[("EVERY = 5;", "EVERY = 1;")],
    fetches: 30,
    looks: &[
        ("EVERY = 5;", "EVERY = 0.1;"),
        ("KEYS_EVERY = 300;", "KEYS_EVERY = 0;"),
        ("DEADLINE = 4;", "DEADLINE = 1;"),
    ],
    jwks: ("self::fetch(Settings::ISSUER . '/.well-known/jwks.json'", "self::fetch('URL'"),
    algorithms: &["EdDSA", "RS256"],
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

const SPRING: Service = Service { start: crate::java_spring::start, ..JAVA };

const WEBFLUX: Service = Service { start: crate::java_spring::start_webflux, ..JAVA };

/// With the secret and the end of old tokens, if there is one.
pub(crate) fn java(issuer: SocketAddr, settings: &[(&str, &str)], old: &[&str]) -> Started {
    let folder = tempfile::tempdir().expect("a folder");
    crate::java_spring::copy(settings, folder.path());
    let ours =
        ["tests/peers/ended/Orders.java", "examples/move/spring/src/main/java/com/example/orders/OldTokens.java"];
    let mut javac = Command::new("javac");
    javac.current_dir(&folder).args(["-d", ".", "-sourcepath", "library:src/main/java"]).args(ours.map(repository));
    let compiled = javac.output().unwrap_or_else(|error| panic!("javac: {error}; run: make setup"));
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let (port, url) = (free_port(), format!("http://{issuer}"));
    let mut java = Command::new("java");
    java.current_dir(&folder).args([
        "-XX:TieredStopAtLevel=1",
        "-cp",
        ".",
        "dev.wxmint.spring.Orders",
        &port.to_string(),
        &url,
    ]);
    java.args(old);
    Started { example: Example::new("java-spring", port), _process: Process::spawn("java", &mut java), folder }
}

impl Service {
    /// Of a scene whose keys are those of `source`.
    fn of_keys_at(&self, scene: &Scene, source: &KeySource, settings: &[Setting]) -> Started {
        let (theirs, ours) = self.jwks;
        let ours = ours.replace("URL", &source.url());
        (self.start)(scene.address(), &[&[(theirs, &*ours)], settings].concat())
    }

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
    go: GO, [
        takes_our_tokens_alone, says_503_until_it_has_keys, follows_keys_and_nonsense_costs_it_nothing, takes_each_algorithm,
        refuses_what_was_ended, learns_of_a_retired_key, believes_no_keys_that_are_too_old, keeps_the_newest_ends
    ];
    node: NODE, [
        takes_our_tokens_alone, says_503_until_it_has_keys, looks_for_keys, is_spoiled_by_no_bad_key, refuses_what_was_ended,
        learns_of_a_retired_key, believes_no_keys_that_are_too_old, keeps_the_newest_ends
    ];
    python: PYTHON, [
        takes_our_tokens_alone, says_503_until_it_has_keys, looks_for_keys, is_spoiled_by_no_bad_key, refuses_what_was_ended,
        learns_of_a_retired_key, believes_no_keys_that_are_too_old, keeps_the_newest_ends
    ];
    java: JAVA, [refuses_what_was_ended, keeps_the_newest_ends];
}

services! {
    ignore = "slow; make nightly runs it",
    java_keys: JAVA, [learns_of_a_retired_key, believes_no_keys_that_are_too_old]
}

services! {
    ignore = "nightly: tests/tools/registries.sh",
    php: PHP, [
        takes_our_tokens_alone, says_503_until_it_has_keys, looks_for_keys, follows_keys_and_nonsense_costs_it_nothing,
        takes_each_algorithm, refuses_what_was_ended, learns_of_a_retired_key, believes_no_keys_that_are_too_old,
        keeps_the_newest_ends
    ]
}

services! {
    ignore = "needs Spring's jars: tests/tools/registries.sh",
    java_spring: SPRING, [
        takes_our_tokens_alone, says_503_until_it_has_keys, looks_for_keys, is_spoiled_by_no_bad_key, takes_each_algorithm,
        refuses_what_was_ended, learns_of_a_retired_key, believes_no_keys_that_are_too_old, keeps_the_newest_ends
    ]
}

services! {
    ignore = "needs Spring's jars: tests/tools/registries.sh",
    java_spring_webflux: WEBFLUX, [takes_our_tokens_alone, says_503_until_it_has_keys, refuses_what_was_ended]
}

async fn takes_our_tokens_alone(service: Service) {
    let scene = Scene::start().await;
    let Started { example, .. } = &(service.start)(scene.address(), &[]);
    checks::verifies_by_itself(&scene, example, service.exceptions, service.fetches).await;
}

async fn says_503_until_it_has_keys(service: Service) {
    let scene = Scene::without_issuer().await;
    let Started { example, .. } = &(service.start)(scene.address(), service.eager);
    checks::starts_before_the_issuer(&scene, example).await;
}

async fn looks_for_keys(service: Service) {
    let scene = Scene::start().await;
    let Started { example, .. } = &(service.start)(scene.address(), service.looks);
    eventually("it has keys", PATIENCE, async || scene.is_let_in(example).await).await;
    checks::learns_of_keys(&scene, example, Duration::from_secs(5)).await;
}

async fn is_spoiled_by_no_bad_key(service: Service) {
    let scene = Scene::start().await;
    let source = KeySource::with_bad_keys(&scene).await;
    let Started { example, .. } = &service.of_keys_at(&scene, &source, &[]);
    bad_keys_spoil_themselves_only(&scene, example).await;
}

async fn follows_keys_and_nonsense_costs_it_nothing(service: Service) {
    let scene = Scene::start().await;
    let source = KeySource::start(&scene).await;
    let Started { example, .. } = &service.of_keys_at(&scene, &source, service.looks);
    eventually("it has keys", PATIENCE, async || scene.is_let_in(example).await).await;
    follow(&scene, example, &source, async || source.is_asked_again().await).await;
}

async fn takes_each_algorithm(service: Service) {
    for algorithm in service.algorithms {
        let scene = Scene::signing_by(algorithm).await;
        let started = (service.start)(scene.address(), &[]);
        eventually(algorithm, PATIENCE, async || scene.is_let_in(&started.example).await).await;
    }
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
