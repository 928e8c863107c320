//! Revocations in Redis. The service looks them up in a `record` in the slot of the user's list.
//! Verifiers learn of them from the `stream`.

pub(crate) mod record;
pub(crate) mod stream;
