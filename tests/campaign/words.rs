//! The faults and promises, as the report names them.

/// A fault, in English as in the log, and in Chinese.
pub(crate) const FAULTS: [(&str, &str); 18] = [
    ("failover on request", "主动故障转移"),
    ("primary killed", "杀掉一个主节点"),
    ("primary killed, then its successor", "杀掉一个主节点，再杀掉接替它的节点"),
    ("primary frozen for 3 s", "主节点冻结 3 秒"),
    ("connections to Redis cut again and again", "反复切断到 Redis 的连接"),
    ("slots move, and back", "槽迁走，再迁回"),
    ("Redis has no memory left", "Redis 内存用尽"),
    ("password of Redis changed", "更换 Redis 密码"),
    ("WeChat does not answer", "微信不应答"),
    ("WeChat answers -1", "微信返回 -1"),
    ("WeChat answers 45011", "微信返回 45011"),
    ("WeChat answers garbage", "微信返回无法解析的内容"),
    ("WeChat's answers are cut off", "微信的应答被截断或丢失"),
    ("account service answers 503", "账号服务返回 503"),
    ("replica of wxmint killed", "杀掉一个 wxmint 副本"),
    ("replicas of wxmint rolled", "滚动重启 wxmint 副本"),
    ("signing key rotated", "轮换签名密钥"),
    ("vault key rotated", "轮换 vault 密钥"),
];

pub(crate) fn chinese(fault: &str) -> &str {
    FAULTS.iter().find(|(english, _)| *english == fault).map_or(fault, |(_, chinese)| chinese)
}

pub(crate) struct Promise {
    pub(crate) english: [&'static str; 3],
    pub(crate) chinese: [&'static str; 3],
}

/// A promise, the faults that were tried against it, and what was checked.
pub(crate) const PROMISES: [Promise; 9] = [
    Promise {
        english: [
            "Secrets stay inside",
            "all",
            "every answer, every token and every line of the logs, for AppSecrets, session keys, passwords of Redis, private \
             keys, vault keys, openids, unionids and codes",
        ],
        chinese: [
            "机密不外泄",
            "全部",
            "在每个应答、每个令牌、每行日志中查找 AppSecret、session_key、Redis 密码、私钥、vault 密钥、openid、unionid 和 code",
        ],
    },
    Promise {
        english: [
            "A code is used once",
            "one code at both replicas at once; WeChat answers -1, stalls, loses answers; a replica is killed",
            "at most one token for a code; the simulator counts how often each code arrived: once, and at most twice after -1",
        ],
        chinese: [
            "code 只用一次",
            "同一个 code 同时发给两个副本；微信返回 -1、不应答、丢失应答；杀掉副本",
            "一个 code 至多换到一个令牌；由模拟器统计每个 code 到达的次数：一次，遇到 -1 时至多两次",
        ],
    },
    Promise {
        english: [
            "A user id is stable",
            "all faults of Redis; both mini programs at once; a killed replica",
            "each answer names the user whom the model knows; no user belongs to two people; at the end everybody logs in once \
             more, and the export and the users' lists agree",
        ],
        chinese: [
            "用户 id 不变",
            "Redis 的全部故障；同一人同时登录两个小程序；杀掉副本",
            "每个应答中的用户与模型一致；没有用户属于两个人；最后每人再登录一次，并核对导出的绑定和用户的名单",
        ],
    },
    Promise {
        english: [
            "`new_user` is true once",
            "the same",
            "no user is new in two answers; the only login of a person who was never seen says so",
        ],
        chinese: [
            "`new_user` 只有一次为 true",
            "同上",
            "没有用户在两个应答中是新用户；从未出现过的人独自登录时必须是新用户",
        ],
    },
    Promise {
        english: [
            "A token is valid from its first second until its `exp`",
            "signing keys rotate; replicas are killed and rolled",
            "each token is shown to a verifier as soon as it is answered, and later again",
        ],
        chinese: [
            "令牌从第一秒起到 `exp` 都有效",
            "轮换签名密钥；杀掉和滚动重启副本",
            "每个令牌一签发就交给验证方验证，之后再次验证",
        ],
    },
    Promise {
        english: [
            "A token that was ended is refused within 10 s",
            "all faults of Redis; a killed replica; rebindings",
            "a token that an answer has ended is refused by wxmint from then on, and by a verifier as soon as it has read the \
             feed up to that time, which without a fault is never older than 10 s",
        ],
        chinese: [
            "已终止的令牌在 10 秒内被拒绝",
            "Redis 的全部故障；杀掉副本；重新绑定",
            "应答已终止的令牌，wxmint 此后一律拒绝；验证方读到相应时刻的 feed 后也必须拒绝；没有故障时 feed 不会落后 10 秒以上",
        ],
    },
    Promise {
        english: [
            "Any replica serves any request",
            "one replica is killed; all are rolled",
            "nothing that was answered is lost; while replicas are rolled, no request fails",
        ],
        chinese: [
            "任何副本都能处理任何请求",
            "杀掉一个副本；滚动重启全部副本",
            "应答过的内容不丢失；滚动重启期间没有请求失败",
        ],
    },
    Promise {
        english: ["No 500", "all", "every answer is one of the contract"],
        chinese: ["没有 500", "全部", "每个应答都符合接口约定"],
    },
    Promise {
        english: [
            "Outages stay short",
            "all",
            "503 with `Retry-After` only while a fault of that part is on, or for 5 s after it; wxmint is not restarted",
        ],
        chinese: [
            "故障时间短",
            "全部",
            "只有相应部分出故障时以及之后 5 秒内才有带 `Retry-After` 的 503；不需要重启 wxmint",
        ],
    },
];
