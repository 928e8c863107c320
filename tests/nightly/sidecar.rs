//! The sidecar's flood of unknown keys, as tests/it runs it, with its times.

#[path = "../it/sidecar/flood.rs"]
mod flood;
#[expect(dead_code, reason = "the forge of the tests of examples; here its keys are needed")]
#[path = "../peers/forge.rs"]
mod forge;
#[expect(dead_code, reason = "of tests/it")]
#[path = "../it/sidecar/signer.rs"]
mod signer;

use self::signer::Signer;
use crate::support::tell;

const INVALID_TOKEN: &str = r#"Bearer error="invalid_token""#;
const LONG: u64 = 600;
