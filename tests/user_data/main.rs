//! User data beside other programs' ciphers, and with a stopwatch. What needs no more than this crate is tested beside the
//! code; what needs the service, in `it`.

mod damage;
mod peers;
#[path = "../it/password_timing/ranks.rs"]
mod ranks;
mod timing;
