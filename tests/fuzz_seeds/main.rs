//! The fuzz targets as tests: each holds for its seeds. What libFuzzer makes of these is for `make nightly`.

use std::{fs, path::Path};

// Targets import this: from libFuzzer's crate the macro below, and from fuzz/src what two of them share.
extern crate self as libfuzzer_sys;
extern crate self as wxmint_fuzz;

#[allow(unreachable_pub, reason = "of the fuzz crate")]
#[path = "../../fuzz/src/lib.rs"]
mod login;
pub(crate) use login::{check_login, is_the_same};

macro_rules! targets {
    ($($name:ident)*) => {
        #[path = "../../fuzz/fuzz_targets"]
        mod targets {
            $(
                #[allow(unused_attributes, reason = "#![no_main] is for libFuzzer")]
                mod $name;
            )*
        }
        const TARGETS: &[&str] = &[$(stringify!($name)),*];
    };
}

targets! {
    accounts_answer bearer forwarded identifiers jwks key_file login_form login_json token user_data users_file
    vault_file wechat_answer
}

macro_rules! fuzz_target {
    (|$input:ident: $type:ty| $body:expr) => {
        #[test]
        fn holds_for_its_seeds() {
            fn hold($input: $type) {
                $body
            }
            let target = module_path!().rsplit("::").next().expect("a module");
            for seed in crate::seeds(target) {
                if let Some(input) = crate::Input::of(&seed) {
                    hold(input);
                }
            }
        }
    };
}
pub(crate) use fuzz_target;

/// A target can be given this.
trait Input<'a>: Sized {
    fn of(seed: &'a [u8]) -> Option<Self>;
}

impl<'a> Input<'a> for &'a [u8] {
    fn of(seed: &'a [u8]) -> Option<Self> {
        Some(seed)
    }
}

/// As libFuzzer does, without what is no UTF-8.
impl<'a> Input<'a> for &'a str {
    fn of(seed: &'a [u8]) -> Option<Self> {
        str::from_utf8(seed).ok()
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let files = fs::read_dir(Path::new("fuzz/seeds").join(target)).expect("a folder of seeds");
    let seeds: Vec<_> = files
        .map(|file| fs::read(file.expect("a file").path()).expect("a seed"))
        .collect();
    assert!(!seeds.is_empty(), "{target} has no seeds");
    seeds
}

#[test]
fn no_target_is_left_out() {
    let files = fs::read_dir("fuzz/fuzz_targets").expect("targets");
    let name = |file: fs::DirEntry| file.file_name().into_string().expect("a name");
    let mut names: Vec<_> = files.map(|file| name(file.expect("a file"))).collect();
    names.sort();
    assert_eq!(
        names,
        TARGETS
            .iter()
            .map(|name| format!("{name}.rs"))
            .collect::<Vec<_>>()
    );
    let manifest = fs::read_to_string("fuzz/Cargo.toml").expect("the manifest");
    for name in TARGETS {
        assert!(
            manifest.contains(&format!("name = \"{name}\"\n")),
            "{name} is not in fuzz/Cargo.toml"
        );
    }
}
