//! The sidecar's flood of unknown keys and its million of ends, as tests/it runs them, with their times.

#[expect(dead_code, reason = "of tests/it")]
#[path = "../it/sidecar/feed.rs"]
mod feed;
#[path = "../it/sidecar/flood.rs"]
mod flood;
#[expect(dead_code, reason = "the forge of the tests of examples; here its keys are needed")]
#[path = "../peers/forge.rs"]
mod forge;
#[path = "../it/sidecar/million.rs"]
mod million;
#[expect(dead_code, reason = "of tests/it")]
#[path = "../it/sidecar/signer.rs"]
mod signer;

use self::signer::Signer;
use crate::support::tell;

const INVALID_TOKEN: &str = r#"Bearer error="invalid_token""#;
const LONG: u64 = 600;
