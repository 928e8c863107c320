//! The faults, as the report names them.

use crate::{faults::OtherFault, store::RedisFault};

/// In the order of the short form.
pub(crate) const REDIS: [(RedisFault, &str); 8] = [
    (RedisFault::FailedOver, "failover on request"),
    (RedisFault::Killed, "primary killed"),
    (RedisFault::Frozen, "primary frozen for 3 s"),
    (RedisFault::SlotsMoved, "slots move, and back"),
    (RedisFault::CutOff, "connections to Redis cut again and again"),
    (RedisFault::Full, "Redis has no memory left"),
    (RedisFault::PasswordChanged, "password of Redis changed"),
    (RedisFault::KilledTwice, "primary killed, then its successor"),
];
pub(crate) const OTHERS: [(OtherFault, &str); 10] = [
    (OtherFault::ReplicaKilled, "replica of wxmint killed"),
    (OtherFault::WeChatStalls, "WeChat does not answer"),
    (OtherFault::KeysRotated, "signing key rotated"),
    (OtherFault::WeChatIsBusy, "WeChat answers -1"),
    (OtherFault::ReplicasRolled, "replicas of wxmint rolled"),
    (OtherFault::WeChatLies, "WeChat answers garbage"),
    (OtherFault::VaultRotated, "vault key rotated"),
    (OtherFault::WeChatIsOverQuota, "WeChat answers 45011"),
    (OtherFault::AnswersAreLost, "WeChat's answers are cut off"),
    (OtherFault::AccountsAway, "account service answers 503"),
];

pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    REDIS.iter().map(|(_, name)| *name).chain(OTHERS.iter().map(|(_, name)| *name))
}
