//! The services that verify by themselves and follow the feed, with a test's times. All are asked alike.

mod kinds;

use std::{net::SocketAddr, process::Command, time::Duration};

use self::kinds::{GO, JAVA, LUA, NODE, PHP, PYTHON, SPRING, Service, Setting, WEBFLUX};

use crate::checks;
use crate::example::{Example, Started};
use crate::key_source::{KeySource, bad_keys_spoil_themselves_only, follow};
use crate::revoked::{
    Issuer, believes_no_old_keys, keeps_the_newest, obeys_a_page_of_a_new_key,
    obeys_no_wrong_clock, obeys_the_feed,
};
use crate::scene::Scene;
use crate::support::{PATIENCE, Process, eventually, free_port, repository};

/// With the secret and the end of old tokens, if there is one.
pub(crate) fn java(issuer: SocketAddr, settings: &[(&str, &str)], old: &[&str]) -> Started {
    let folder = crate::java_spring::copy("java-spring", settings);
    let ours = [
        "tests/peers/revoked/Orders.java",
        "examples/move/spring/src/main/java/com/example/orders/OldTokens.java",
    ];
    let mut javac = Command::new("javac");
    javac
        .arg("-J-XX:TieredStopAtLevel=1")
        .args(["-d", ".", "-sourcepath", "library/src/main/java"])
        .args(ours.map(repository))
        .current_dir(&folder);
    let compiled = javac
        .output()
        .unwrap_or_else(|error| panic!("javac: {error}; run: make setup"));
    assert!(
        compiled.status.success(),
        "{}",
        String::from_utf8_lossy(&compiled.stderr)
    );
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
    Started {
        example: Example::new("java-spring", port),
        _process: Process::spawn("java", &mut java),
        folder,
    }
}

impl Service {
    /// Starts it in a scene whose keys are those of `source`.
    fn of_keys_at(&self, scene: &Scene, source: &KeySource, settings: &[Setting]) -> Started {
        let (theirs, ours) = self.jwks;
        let ours = ours.replace("URL", &source.url());
        (self.start)(scene.address(), &[&[(theirs, &*ours)], settings].concat())
    }

    fn start(&self, issuer: &Issuer, is_closed: bool, more: &[Setting]) -> Started {
        let closed = [self.closed];
        (self.start)(
            issuer.address,
            &[self.often, &closed[..usize::from(is_closed)], more].concat(),
        )
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
        takes_our_tokens_alone, says_503_until_it_has_keys, follows_keys_and_nonsense_costs_it_nothing,
        takes_each_algorithm, refuses_what_was_revoked, obeys_no_clock_that_is_wrong, learns_of_a_retired_key,
        believes_no_keys_that_are_too_old, keeps_the_newest_revocations
    ];
    node: NODE, [
        takes_our_tokens_alone, says_503_until_it_has_keys, looks_for_keys, is_spoiled_by_no_bad_key,
        follows_keys_and_nonsense_costs_it_nothing, refuses_what_was_revoked, obeys_no_clock_that_is_wrong, learns_of_a_retired_key,
        believes_no_keys_that_are_too_old, keeps_the_newest_revocations
    ];
    python: PYTHON, [
        takes_our_tokens_alone, says_503_until_it_has_keys, looks_for_keys, is_spoiled_by_no_bad_key,
        refuses_what_was_revoked, obeys_no_clock_that_is_wrong, learns_of_a_retired_key,
        believes_no_keys_that_are_too_old, keeps_the_newest_revocations
    ];
    lua: LUA, [
        takes_our_tokens_alone, says_503_until_it_has_keys, looks_for_keys, is_spoiled_by_no_bad_key,
        follows_keys_and_nonsense_costs_it_nothing, takes_each_algorithm, refuses_what_was_revoked,
        obeys_no_clock_that_is_wrong, learns_of_a_retired_key, believes_no_keys_that_are_too_old,
        keeps_the_newest_revocations
    ];
    java: JAVA, [refuses_what_was_revoked, obeys_no_clock_that_is_wrong, keeps_the_newest_revocations];
    java_spring_boot: SPRING, [takes_our_tokens_alone_and_obeys_revocations];
}

services! {
    ignore = "slow; make nightly runs it",
    java_keys: JAVA, [learns_of_a_retired_key, believes_no_keys_that_are_too_old]
}

services! {
    ignore = "nightly, where Composer can have firebase/php-jwt",
    php: PHP, [
        takes_our_tokens_alone, says_503_until_it_has_keys, looks_for_keys,
        follows_keys_and_nonsense_costs_it_nothing, takes_each_algorithm, refuses_what_was_revoked,
        obeys_no_clock_that_is_wrong, learns_of_a_retired_key, believes_no_keys_that_are_too_old,
        keeps_the_newest_revocations
    ]
}

services! {
    ignore = "nightly, with each Spring Boot",
    java_spring: SPRING, [
        takes_our_tokens_alone_and_obeys_revocations, says_503_until_it_has_keys, looks_for_keys, is_spoiled_by_no_bad_key,
        takes_each_algorithm, refuses_what_was_revoked, obeys_no_clock_that_is_wrong, learns_of_a_retired_key,
        believes_no_keys_that_are_too_old, keeps_the_newest_revocations
    ]
}

services! {
    ignore = "nightly, with each Spring Boot",
    java_spring_webflux: WEBFLUX, [takes_our_tokens_alone_and_obeys_revocations, says_503_until_it_has_keys, refuses_what_was_revoked]
}

async fn takes_our_tokens_alone(service: Service) {
    let scene = Scene::start().await;
    let Started { example, .. } = &(service.start)(scene.address(), &[]);
    checks::verifies_by_itself(&scene, example, service.exceptions, service.fetches).await;
}

async fn takes_our_tokens_alone_and_obeys_revocations(service: Service) {
    let scene = Scene::start().await;
    let Started { example, .. } = &(service.start)(scene.address(), &[]);
    checks::verifies_by_itself(&scene, example, service.exceptions, service.fetches).await;
    checks::obeys_revocations(&scene, example).await;
}

async fn says_503_until_it_has_keys(service: Service) {
    let scene = Scene::without_issuer().await;
    let Started { example, .. } = &(service.start)(scene.address(), service.eager);
    checks::starts_before_the_issuer(&scene, example).await;
}

async fn looks_for_keys(service: Service) {
    let scene = Scene::start().await;
    let Started { example, .. } = &(service.start)(scene.address(), service.looks);
    eventually("it has keys", PATIENCE, async || {
        scene.is_let_in(example).await
    })
    .await;
    checks::learns_of_keys(&scene, example, Duration::from_secs(5)).await;
}

async fn is_spoiled_by_no_bad_key(service: Service) {
    let scene = Scene::start().await;
    let source = KeySource::with_bad_keys(&scene);
    let Started { example, .. } = &service.of_keys_at(&scene, &source, service.often);
    bad_keys_spoil_themselves_only(&scene, example, &source).await;
}

async fn follows_keys_and_nonsense_costs_it_nothing(service: Service) {
    let scene = Scene::start().await;
    let source = KeySource::start(&scene).await;
    let Started { example, .. } = &service.of_keys_at(&scene, &source, service.looks);
    eventually("it has keys", PATIENCE, async || {
        scene.is_let_in(example).await
    })
    .await;
    follow(&scene, example, &source, async || {
        source.is_asked_again().await;
    })
    .await;
}

async fn takes_each_algorithm(service: Service) {
    for algorithm in service.algorithms {
        let scene = Scene::signing_by(algorithm).await;
        let started = (service.start)(scene.address(), &[]);
        eventually(algorithm, PATIENCE, async || {
            scene.is_let_in(&started.example).await
        })
        .await;
    }
}

async fn refuses_what_was_revoked(service: Service) {
    obeys_the_feed(
        |issuer, closed| service.start(issuer, closed, &[]),
        |started| &started.example,
    )
    .await;
}

async fn obeys_no_clock_that_is_wrong(service: Service) {
    let keys = service
        .looks
        .iter()
        .filter(|(name, _)| service.often.iter().all(|(other, _)| other != name));
    let closed = [service.closed];
    let settings: Vec<_> = service
        .often
        .iter()
        .chain(service.clock)
        .chain(keys)
        .chain(&closed)
        .copied()
        .collect();
    obeys_no_wrong_clock(|issuer| (service.start)(issuer.address, &settings)).await;
}

async fn learns_of_a_retired_key(service: Service) {
    obeys_a_page_of_a_new_key(
        |issuer, closed| service.start(issuer, closed, &[]),
        |started| &started.example,
    )
    .await;
}

async fn believes_no_keys_that_are_too_old(service: Service) {
    believes_no_old_keys(
        |issuer| (service.start)(issuer.address, service.old_keys),
        |started| &started.example,
    )
    .await;
}

async fn keeps_the_newest_revocations(service: Service) {
    keeps_the_newest(
        |issuer, closed| service.start(issuer, closed, &[service.full]),
        |started| &started.example,
    )
    .await;
}
