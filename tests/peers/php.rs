//! examples/peers/php on PHP's own server, with firebase/php-jwt from the folder WXMINT_TEST_PHP_JWT, else with `php_jwt.php`,
//! which stands in for it. tests/tools/registries.sh asks Packagist for it, runs these, and says which it was.

use std::{env, fs, net::SocketAddr, process::Command, time::Duration};

use crate::{
    checks::{self, Exceptions},
    example::{Example, Started, example_folder},
    key_source::{KeySource, follow},
    scene::Scene,
    support::{PATIENCE, Process, eventually, free_port, repository},
};

const EXCEPTIONS: Exceptions<'_> = &[("duplicate member", "if a member occurs twice, it takes the last one")];

/// PHP's server has no children; the follower ends with it.
const RUN: &str = "setpriv --pdeathsig KILL php follow.php & exec php -S 127.0.0.1:$0 public/index.php";

/// Of the issuer at this address, with settings in place of those that the files have.
pub(crate) fn start(issuer: SocketAddr, settings: &[(&str, &str)]) -> Started {
    let (port, issuer) = (free_port(), issuer.to_string());
    let folder = example_folder("php", &[settings, &[("127.0.0.1:8080", &*issuer)]].concat());
    let library = match env::var("WXMINT_TEST_PHP_JWT") {
        Ok(folder) => format!(
            "foreach (glob('{folder}/src/*.php') as $file) $files[basename($file, '.php')] = $file;\
            spl_autoload_register(fn ($class) => @include $files[substr(strrchr($class, '\\\\'), 1)]);"
        ),
        Err(_) => format!("require '{}';", repository("tests/peers/php_jwt.php").display()),
    };
    let autoload = format!("<?php {library} foreach (glob(__DIR__ . '/../src/*.php') as $file) require $file;");
    fs::create_dir(folder.path().join("vendor")).expect("a folder");
    fs::write(folder.path().join("vendor/autoload.php"), autoload).expect("written");
    let process = Process::spawn("sh", Command::new("sh").current_dir(&folder).args(["-c", RUN, &port.to_string()]));
    Started { example: Example::new("php", port), process, folder }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "nightly: tests/tools/registries.sh"]
async fn php_takes_our_tokens_alone_and_says_503_until_it_has_keys() {
    let scene = Scene::without_issuer().await;
    let Started { example, .. } = &start(scene.address(), &[("EVERY = 5;", "EVERY = 1;")]);
    checks::starts_before_the_issuer(&scene, example).await;
    checks::verifies_by_itself(&scene, example, EXCEPTIONS, 30).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "nightly: tests/tools/registries.sh"]
async fn php_learns_of_a_new_key_and_of_a_removed_one_when_it_looks() {
    let scene = Scene::start().await;
    let often = [("EVERY = 5;", "EVERY = 0.5;"), ("KEYS_EVERY = 300;", "KEYS_EVERY = 1;")];
    let Started { example, .. } = &start(scene.address(), &often);
    eventually("it has keys", PATIENCE, async || scene.is_let_in(example).await).await;
    checks::learns_of_keys(&scene, example, Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "nightly: tests/tools/registries.sh"]
async fn php_takes_what_the_issuer_publishes_and_nonsense_costs_it_nothing() {
    let scene = Scene::start().await;
    let source = KeySource::start(&scene).await;
    let url = format!("self::fetch('{}'", source.url());
    let settings = [
        ("self::fetch(Settings::ISSUER . '/.well-known/jwks.json'", &*url),
        ("EVERY = 5;", "EVERY = 0.1;"),
        ("KEYS_EVERY = 300;", "KEYS_EVERY = 0;"),
        ("DEADLINE = 4;", "DEADLINE = 1;"),
    ];
    let Started { example, .. } = &start(scene.address(), &settings);
    eventually("it has keys", PATIENCE, async || scene.is_let_in(example).await).await;
    follow(&scene, example, &source, async |_| source.is_asked_again().await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "nightly: tests/tools/registries.sh"]
async fn php_takes_each_algorithm_of_our_keys() {
    for algorithm in ["EdDSA", "RS256"] {
        let scene = Scene::signing_by(algorithm).await;
        let orders = start(scene.address(), &[]);
        eventually(algorithm, PATIENCE, async || scene.is_let_in(&orders.example).await).await;
    }
}
