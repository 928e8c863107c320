//! The Chinese of errors of wxmint's crates; their `Display` is the English. Quoted values stay as
//! they are.

use wxmint_ids::{InvalidForeignId, InvalidId, InvalidIdKey};
use wxmint_keys::vault::VaultError;
use wxmint_platforms::PlatformError;
use wxmint_redis_link::WrongUrl;
use wxmint_upstream::FetchError;
use wxmint_verify::revocations::{MAX_PAGE, PageRefused};
use wxmint_verify::{KeyError, PublishedKeys};
use wxmint_wechat::{CallError, InvalidAlipayKey};

use super::Message;

in_chinese! {
    &KeyError:
        KeyError::Syntax(reason) => "不是 JWK Set（`{{\"keys\":[…]}}`）：{reason}",
        KeyError::Empty => "里面没有密钥；用 `wxmint keys generate --replace` 生成",
        KeyError::Missing { key, member } => "密钥 {key}：缺少字段 `{member}`",
        KeyError::Unusable { key, reason } => "密钥 {key}：{reason}",
        KeyError::Ambiguous { first, second, member } => "密钥 {first} 和 {second} 的 `{member}` 相同",
        KeyError::NoneSigning { earliest } => "还没有密钥可以签名：最早的 `nbf` 是 {earliest}",
        KeyError::Revoked => "签名密钥已被吊销：见 `wxmint doctor`",
        KeyError::Crypto(what) => "密码库操作失败：{what}";
    &PlatformError:
        PlatformError::Refused { platform, number, word: None, .. } => "{platform} 返回错误 {number}",
        PlatformError::Refused { platform, number, word: Some(word), .. } => "{platform} 返回错误 {number}（{word}）",
        PlatformError::Unusable { platform, reason } => "{platform} 的响应不能使用：{reason}",
        PlatformError::OtherIdentity { platform, lacks } => "{platform} 的响应没有应用文件里 `identity` 指定的 {lacks}",
        PlatformError::NotSent { platform, reason, .. } => "无法向 {platform} 发出请求：{reason}",
        PlatformError::Unanswered { platform, reason } => "{platform} 没有给出可用的响应：{reason}";
    &FetchError:
        FetchError::NotSent(reason) => "无法发出请求：{reason}",
        FetchError::Unanswered(reason) => "{reason}";
    &VaultError:
        VaultError::BadLine { line } => "第 {line} 行应是 32 字节的 base64，与 `openssl rand -base64 32` 的输出相同",
        VaultError::BadTime { line } =>
            "第 {line} 行的密钥之后应没有内容，或者是它开始加密的时间，例如 2026-10-03T12:00:00Z",
        VaultError::NoKey => "文件里没有密钥",
        VaultError::Cut => "结尾没有换行符，可能只写了一半：请补全文件，最后一行也以换行符结尾",
        VaultError::Repeated { line } => "第 {line} 行与前面的密钥重复",
        VaultError::DoesNotOpen => "密文不能解密：vault 密钥已不存在，或者密文被改动";
    &PageRefused:
        PageRefused::TooLong => "它超过 {MAX_PAGE} 字节",
        PageRefused::Refused(reason) => "{reason}",
        PageRefused::RevokedKey => "签名它的密钥已被吊销",
        PageRefused::Claims => "它的声明不是吊销记录页的声明",
        PageRefused::Older => "它比之前接受过的页旧得多",
        PageRefused::OtherCursor => "它是另一个 cursor 的响应",
        PageRefused::Circle => "它指回自身";
    &CallError:
        CallError::Refused { errcode, errmsg, .. } => "微信返回 errcode {errcode}（{errmsg}）",
        CallError::NotSent { reason, .. } => "无法向微信发出请求：{reason}",
        CallError::Unanswered { reason } => "没有得到微信的可用响应：{reason}",
        CallError::Unusable { reason } => "微信的响应不能使用：{reason}",
        CallError::SnapshotUser => "页面以快照方式显示，微信给出的是虚拟用户";
    WrongUrl:
        WrongUrl::Scheme => "应以 redis://、rediss://、redis+cluster://、rediss+cluster://、redis+sentinel:// 或 rediss+sentinel:// 开头",
        WrongUrl::Space => "含有空格；用户名或密码里的空格写作 %20",
        WrongUrl::Query =>
            "? 或 # 之后不能有内容：只有 redis+sentinel:// 可以以 ?sentinel_password_file=PATH 结尾；用户名或密码里写作 %3F 和 %23",
        WrongUrl::Unreadable =>
            "无法读取：应为 redis://user:password@host:port/database，端口为 1 到 65535，IPv6 地址放在方括号中（[2001:db8::1]），用户名和密码中 @ 写作 %40，: 写作 %3A，/ 写作 %2F，% 写作 %25",
        WrongUrl::NoPassword => "有用户名而没有密码；只有密码时写作 redis://:PASSWORD@host:port",
        WrongUrl::Database => "指定了数据库，而 Cluster 只有一个：redis+cluster://host:port,host:port",
        WrongUrl::NoMaster => "没有写 Sentinel 监视的 master：redis+sentinel://host:port,host:port/MASTER",
        WrongUrl::Servers =>
            "写了多台服务器：应为 redis+cluster://host:port,host:port 或 redis+sentinel://host:port,host:port/MASTER";
    InvalidId:
        InvalidId::Empty => "不能为空",
        InvalidId::TooLong { limit } => "最多 {limit} 个字符",
        InvalidId::Alphabet { alphabet } => "只能由 {alphabet} 组成";
    InvalidAlipayKey:
        InvalidAlipayKey::Form => "应是至少 2048 位的 RSA 密钥，写成 PEM 或其中的 base64",
        InvalidAlipayKey::OwnPublicKey => "是应用自己的公钥；支付宝公钥在后台里紧挨着它";
    InvalidIdKey:
        InvalidIdKey::NoKey => "文件里没有密钥",
        InvalidIdKey::SeveralLines => "应只有一行：ID 密钥不轮换，换一个密钥，每个人的用户 ID 都会改变",
        InvalidIdKey::Form => "应是 32 字节的 base64，与 `wxmint keys id-key` 写入的相同";
    InvalidForeignId:
        InvalidForeignId::Filler => "应是某个用户：null、0 或表头不是用户",
        InvalidForeignId::Form(why) => "{:#}" [Self::from(*why)];
}

/// The advice for a vault key file that cannot be used.
pub fn cure_of_vault(error: &VaultError) -> Message {
    match error {
        VaultError::NoKey => message!(write_one_with_openssl_rand_base64),
        VaultError::Cut => message!(correct_file),
        _ => message!(restore_that_line_from_backup),
    }
}

/// Returns the set if it has a usable key, or says why it has none.
pub fn usable(set: Result<PublishedKeys, KeyError>) -> Result<PublishedKeys, Message> {
    let keys = set.map_err(|error| Message::from(&error))?;
    match keys.refused.first() {
        _ if !keys.keys.is_empty() => Ok(keys),
        Some(error) => Err(error.into()),
        None => Err(message!(set_has_no_key)),
    }
}
