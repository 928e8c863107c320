//! The faults, as the report names them.

use crate::{faults::OtherFault, store::RedisFault};

/// In English, as in the log, and in Chinese.
pub(crate) type Name = (&'static str, &'static str);

/// In the order of the short form.
pub(crate) const REDIS: [(RedisFault, Name); 8] = [
    (RedisFault::FailedOver, ("failover on request", "主动故障转移")),
    (RedisFault::Killed, ("primary killed", "杀掉一个主节点")),
    (RedisFault::Frozen, ("primary frozen for 3 s", "主节点冻结 3 秒")),
    (RedisFault::SlotsMoved, ("slots move, and back", "槽迁走，再迁回")),
    (RedisFault::CutOff, ("connections to Redis cut again and again", "反复切断到 Redis 的连接")),
    (RedisFault::Full, ("Redis has no memory left", "Redis 内存用尽")),
    (RedisFault::PasswordChanged, ("password of Redis changed", "更换 Redis 密码")),
    (RedisFault::KilledTwice, ("primary killed, then its successor", "杀掉一个主节点，再杀掉接替它的节点")),
];
pub(crate) const OTHERS: [(OtherFault, Name); 10] = [
    (OtherFault::ReplicaKilled, ("replica of wxmint killed", "杀掉一个 wxmint 副本")),
    (OtherFault::WeChatStalls, ("WeChat does not answer", "微信不应答")),
    (OtherFault::KeysRotated, ("signing key rotated", "轮换签名密钥")),
    (OtherFault::WeChatIsBusy, ("WeChat answers -1", "微信返回 -1")),
    (OtherFault::ReplicasRolled, ("replicas of wxmint rolled", "滚动重启 wxmint 副本")),
    (OtherFault::WeChatLies, ("WeChat answers garbage", "微信返回无法解析的内容")),
    (OtherFault::VaultRotated, ("vault key rotated", "轮换 vault 密钥")),
    (OtherFault::WeChatIsOverQuota, ("WeChat answers 45011", "微信返回 45011")),
    (OtherFault::AnswersAreLost, ("WeChat's answers are cut off", "微信的应答被截断或丢失")),
    (OtherFault::AccountsAway, ("account service answers 503", "账号服务返回 503")),
];

pub(crate) fn names() -> impl Iterator<Item = Name> {
    REDIS.iter().map(|(_, name)| *name).chain(OTHERS.iter().map(|(_, name)| *name))
}
