//! Verifies one token with the keys in a file, which is a copy of the issuer's
//! `/.well-known/jwks.json`:
//!
//! ```sh
//! cargo run --example verify jwks.json https://login.example.com https://api.example.com "$token"
//! ```

use std::{env, error::Error, fs};

use wxmint_verify::{PublishedKeys, Verifier, VerifierPolicy};

#[expect(
    clippy::disallowed_methods,
    reason = "a program has the clock of its machine"
)]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [keys, issuer, audience, token] = &arguments[..] else {
        return Err("use: verify JWKS_FILE ISSUER AUDIENCE TOKEN".into());
    };
    let keys = PublishedKeys::read(&fs::read(keys)?)?;
    let verifier = Verifier::new(VerifierPolicy::new(issuer, [audience]))?;
    let claims = verifier.verify(token, &keys, chrono::Utc::now())?;
    #[expect(clippy::print_stdout, reason = "it is what the example is for")]
    {
        println!("{} logged in through {}", claims.user, claims.app);
    }
    Ok(())
}
