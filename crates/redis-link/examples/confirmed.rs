//! Writes to a Cluster, and waits until every replica that could take over has the write.
//!
//! `cargo run --example confirmed redis+cluster://127.0.0.1:7000,127.0.0.1:7001`

use std::{env, error::Error};

use wxmint_redis_link::{Call, Confirm, Program, RedisAccess, RedisClient, TlsFiles};

pub(crate) async fn pay(url: &str) -> Result<(), Box<dyn Error>> {
    let access = RedisAccess::new(
        url.parse()?,
        TlsFiles::default(),
        Confirm::Auto,
        Program::default(),
    )?;
    let link = RedisClient::new(&access, ());

    let order = Call::of("SET", "order:7").arg("paid");
    link.run_confirmed::<()>("pay", order).await?;
    // If the primary is lost from now on, its successor has the order.
    Ok(())
}

#[tokio::main(flavor = "local")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::args().nth(1).ok_or("which URL?")?;
    pay(&url).await
}
