//! User data beside other programs' ciphers. What needs no more than this crate is tested beside the code; what needs the
//! service, in `it`.

mod damage;
mod peers;
