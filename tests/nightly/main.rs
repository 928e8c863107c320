//! Only a machine that does nothing else can show this: percentiles, memory under a flood, and deadlines with little
//! room. `make nightly` runs these tests one at a time. Plain `cargo test` leaves them out.

mod alerts;
mod failovers;
mod feed;
mod flood;
mod stalled;

#[path = "../it/apps.rs"]
mod apps;
#[path = "../it/bindings_command.rs"]
mod bindings_command;
#[path = "../it/phone.rs"]
mod phone;
#[path = "../it/reload.rs"]
mod reload;
#[path = "../it/stopping.rs"]
mod stopping;
#[expect(
    dead_code,
    unused_imports,
    reason = "the harness of tests/it, of which these tests need a part"
)]
#[path = "../it/support/mod.rs"]
mod support;
#[path = "../it/users_file.rs"]
mod users_file;
