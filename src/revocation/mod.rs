//! Revocations, as `wxmint serve` handles them (RFC 7009 has the word). The store has their records
//! and their stream; `Store` writes both.
//!
//! `cache` holds what the stream has, and restores what the store loses. `revoked_keys` publishes the
//! revocations of signing keys, and obeys those that others have published. `feed` answers verifiers.

pub(crate) mod cache;
pub(crate) mod feed;
pub(crate) mod revoked_keys;
