//! Revocations, as `wxmint serve` handles them (RFC 7009 has the word). The store has their records
//! and their stream, and writes both.
//!
//! | file | subject |
//! |---|---|
//! | `follow` | the loop that looks after the revocations in the store, every 2 s |
//! | `cache` | what this process holds of the stream, and restores if the store loses it |
//! | `possible_loss` | whether Redis may have lost revocations that are still needed |
//! | `purge` | the deletion of revocations whose tokens have all expired |
//! | `clock_rules` | which clock decides that a revocation has expired |
//! | `revoked_keys` | signing keys that were revoked before they expired |
//! | `feed` | the signed pages that verifiers read |

mod cache;
mod clock_rules;
pub(crate) mod feed;
pub(crate) mod follow;
pub(crate) mod possible_loss;
mod purge;
pub(crate) mod revoked_keys;
#[cfg(test)]
mod tests;
