//! examples/peers/php on PHP's own server, with firebase/php-jwt from the folder `WXMINT_TEST_PHP_JWT`, else with
//! `php_jwt.php`, which stands in for it. `make nightly` asks Composer for it, runs these, and says which.

use std::{env, fs, net::SocketAddr, path::Path, process::Command};

use crate::example::{Example, Started, example_folder};
use crate::support::{Process, free_port, repository};

/// PHP's server has no children; the follower ends with it.
const RUN: &str =
    "setpriv --pdeathsig KILL php follow.php & exec php -S 127.0.0.1:$0 public/index.php";

/// Writes the file in `folder` by which PHP finds the library and the example's classes.
pub(crate) fn write_autoload(folder: &Path) {
    let library = match env::var("WXMINT_TEST_PHP_JWT") {
        Ok(folder) => format!(
            "foreach (glob('{folder}/src/*.php') as $file) $files[basename($file, '.php')] = $file;\
            spl_autoload_register(fn ($class) => @include $files[substr(strrchr($class, '\\\\'), 1)]);"
        ),
        Err(_) => format!(
            "require '{}';",
            repository("tests/peers/php_jwt.php").display()
        ),
    };
    let autoload = format!(
        "<?php {library} foreach (glob(__DIR__ . '/../src/*.php') as $file) require $file;"
    );
    fs::create_dir(folder.join("vendor")).expect("a folder");
    fs::write(folder.join("vendor/autoload.php"), autoload).expect("written");
}

/// Starts the example for the issuer at this address, with settings in place of those that the files have.
pub(crate) fn start(issuer: SocketAddr, settings: &[(&str, &str)]) -> Started {
    let (port, issuer) = (free_port(), issuer.to_string());
    let folder = example_folder("php", &[settings, &[("127.0.0.1:8080", &*issuer)]].concat());
    write_autoload(folder.path());
    let mut php = Command::new("sh");
    // A proxy of the machine's would be asked for the keys.
    php.current_dir(&folder)
        .args(["-c", RUN, &port.to_string()])
        .env("no_proxy", "127.0.0.1");
    let process = Process::spawn("sh", &mut php);
    Started {
        example: Example::new("php", port),
        _process: process,
        folder,
    }
}
