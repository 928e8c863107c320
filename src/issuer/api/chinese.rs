//! The description of the API in Chinese, by its English paragraphs.

use serde_json::Deserializer;

/// Names of tags, in the order of the document.
const TAGS: [(&str, &str); 5] =
    [("login", "登录"), ("wechat", "微信"), ("keys", "验证 token"), ("older pages", "旧页面"), ("leave", "退出与解绑")];

const PARAGRAPHS: &[(&str, &str)] = &[
    // The document and its tags.
    (
        "Turns a WeChat mini-program login into a signed JWT. Errors are application/problem+json with a stable `code`; \
         429 and 503 carry Retry-After.",
        "把微信小程序的登录变成签名的 JWT。出错时返回 application/problem+json，其中的 `code` 是稳定的；429 和 503 带 \
         `Retry-After`。",
    ),
    ("For mini programs", "供小程序调用"),
    ("Uses of session_key, which never leaves this service", "需要 session_key 的操作；session_key 不会离开 wxmint"),
    ("For whoever verifies tokens", "供验证 token 的服务使用"),
    ("For mini programs that were written for another back end", "供为其他后端编写的小程序使用"),
    ("To log out, and to end a binding", "退出登录，解除绑定"),
    // Logging in.
    ("Turn the code of wx.login into a token", "用 wx.login 的 code 换取 token"),
    (
        "JSON, or a form (`application/x-www-form-urlencoded`) with the same fields. To try it here, choose an example. A \
         code works once. In `wxmint demo`, the examples have codes that work, and this page replaces a code that it has \
         sent by a fresh one. Elsewhere, insert a code that `wx.login` has just given, for instance in the console of \
         WeChat's developer tools.",
        "使用 JSON，或字段相同的表单（`application/x-www-form-urlencoded`）。要在这里试用，请选一个示例。code 只能用一次。\
         在 `wxmint demo` 中，示例里的 code 可以直接使用，用过的 code 由本页自动换成新的；其他环境请填入 `wx.login` 刚刚返回\
         的 code，例如在微信开发者工具的控制台里获取。",
    ),
    ("A code of wx.login", "wx.login 的 code"),
    ("Where several mini programs are configured", "配置了多个小程序时"),
    ("To bind the person to an account by its password", "用密码绑定账号"),
    ("To log in by phone number", "用手机号登录"),
    ("After binding_required", "返回 binding_required 之后"),
    ("Logged in", "登录成功"),
    ("Log in with a code alone", "只用 code 登录"),
    (
        "For pages that send GET, as wx.request does unless told otherwise.",
        "供发送 GET 的页面使用；wx.request 默认发送 GET。",
    ),
    ("The code of wx.login", "wx.login 的 code"),
    (
        "The body of `POST /login`: `code` or `bind_ticket`, and at most one of a password and a `phone_code`.",
        "`POST /login` 的请求体：`code` 或 `bind_ticket`；此外密码和 `phone_code` 最多带一种。",
    ),
    (
        "The code of `wx.login`: 5 minutes, one use. Needed unless `bind_ticket` is sent.",
        "`wx.login` 的 code，5 分钟内有效，只能用一次。没有 `bind_ticket` 时必填。",
    ),
    (
        "Which mini program; needed only where several are configured, and the Referer that WeChat sends does not tell.",
        "小程序的 AppID。只有配置了多个小程序、而微信发送的 Referer 又没有指明时，才需要。",
    ),
    (
        "To bind this WeChat user to an account: its name, at most 512 characters. Goes with `password`.",
        "要把这个微信绑定到的账号的用户名，最多 512 个字符。与 `password` 一起发送。",
    ),
    (
        "The account's password, at most 1024 characters. Goes with `username`; in the body alone, never in the URL.",
        "账号的密码，最多 1024 个字符。与 `username` 一起发送；只能放在请求体里，不能放在 URL 里。",
    ),
    (
        "To log in by phone number: the code of the button `open-type=\"getPhoneNumber\"`, which is not wx.login's.",
        "用手机号登录：`open-type=\"getPhoneNumber\"` 按钮得到的 code，与 wx.login 的 code 不同。",
    ),
    (
        "In place of `code`: what `binding_required` came with. 5 minutes, one attempt.",
        "代替 `code`：来自 `binding_required` 的响应。5 分钟内有效，只能用一次。",
    ),
    ("The answer to a login.", "登录的响应。"),
    ("A JWT (RFC 9068), for `Authorization: Bearer …`.", "JWT（RFC 9068），放在请求头 `Authorization: Bearer …` 里。"),
    ("Seconds.", "有效期，单位为秒。"),
    ("The token's `sub`.", "用户 ID，即 token 的 `sub`。"),
    ("True only in the answer to the login that created the user.", "只有创建该用户的那次登录返回 true。"),
    // WeChat.
    ("Decrypt a person's data, or check that it is WeChat's", "解密用户数据，或校验数据确实来自微信"),
    (
        "Uses the session key of the last login, or for ten minutes the previous one.",
        "使用最近一次登录的 session_key；此后 10 分钟内，也使用上一次的。",
    ),
    ("encryptedData and iv", "encryptedData 和 iv"),
    ("rawData and signature", "rawData 和 signature"),
    ("The data", "数据"),
    (
        "The body of `POST /wechat/userdata`: `encryptedData` and `iv`, or `rawData` and `signature`, as WeChat gave \
         them.",
        "`POST /wechat/userdata` 的请求体：`encryptedData` 和 `iv`，或 `rawData` 和 `signature`，都照微信给出的原样发送。",
    ),
    ("base64", "base64 编码"),
    ("base64 of 16 bytes", "16 字节的 base64 编码"),
    ("JSON, byte for byte", "JSON，须与微信给出的逐字节相同"),
    ("SHA-1 in hexadecimal", "十六进制的 SHA-1"),
    ("The data that was decrypted or checked.", "解密或校验后的数据。"),
    ("Without openId, unionId and watermark.", "不含 openId、unionId 和 watermark。"),
    ("Get a person's phone number", "获取手机号"),
    ("The number", "手机号"),
    ("The body of `POST /wechat/phone`.", "`POST /wechat/phone` 的请求体。"),
    (
        "The code of the button `open-type=\"getPhoneNumber\"`, which is not a code of wx.login.",
        "`open-type=\"getPhoneNumber\"` 按钮得到的 code，不是 wx.login 的 code。",
    ),
    ("A phone number that WeChat has verified.", "经微信验证的手机号。"),
    ("With the country code if it is a foreign number.", "境外手机号带区号。"),
    ("Without the country code.", "不带区号。"),
    ("For example `86`.", "区号，例如 `86`。"),
    ("Ask WeChat whether the session key is still valid", "向微信查询 session_key 是否仍然有效"),
    ("Whether it is valid", "是否有效"),
    ("Whether the session key is still valid.", "session_key 是否仍然有效。"),
    ("Whether WeChat still accepts the session key that is kept here.", "微信是否仍然接受 wxmint 保存的 session_key。"),
    ("Have WeChat replace the session key", "让微信更换 session_key"),
    ("Replaced", "已更换"),
    // Verifying.
    ("The public keys (RFC 7517)", "公钥（RFC 7517）"),
    (
        "The answer has an `ETag`, and a `max-age` that ends no later than the next key's first signature.",
        "响应带 `ETag` 和 `max-age`；`max-age` 在下一个密钥开始签名之前到期。",
    ),
    ("A JWK Set", "JWK Set"),
    ("The caller's copy still holds", "调用方保存的副本仍然有效"),
    ("What has been ended (a feed for verifiers)", "吊销记录（供验证方跟踪的 feed）"),
    (
        "A signed JWT, `typ` `revocations+jwt`. Its claims: `iss`, `iat`, `exp`; `after`, the cursor that was asked for, \
         or empty if the page begins at the oldest end; `cursor`, to ask with next; `more`; `keep`, the seconds after \
         which an end may be forgotten; `ended`, an array of `[\"sub\", H(sub), BEFORE]`, `[\"app\", H(sub NUL AppID), \
         BEFORE]`, `[\"jti\", H(jti), EXP]` and `[\"kid\", KID]`. H(value) is the base64url of the first 12 bytes of \
         SHA-256(iss NUL value). Ask every 5 s.",
        "签名的 JWT，`typ` 是 `revocations+jwt`。声明：`iss`、`iat`、`exp`；`after` 是请求里的 cursor，如果本页从最早的记录\
         开始则为空；`cursor` 用于下一次请求；`more` 表示后面还有；`keep` 是秒数，过后可以丢弃记录；`ended` 是数组，元素为 \
         `[\"sub\", H(sub), BEFORE]`、`[\"app\", H(sub NUL AppID), BEFORE]`、`[\"jti\", H(jti), EXP]` 和 `[\"kid\", KID]`。\
         H(value) 是 SHA-256(iss NUL value) 前 12 字节的 base64url。每 5 秒请求一次。",
    ),
    ("The `cursor` of the page before; left out at first", "上一页的 `cursor`；第一次请求时不带"),
    ("A page of the feed", "一页吊销记录"),
    (
        "The issuer's metadata (OpenID Connect Discovery 1.0, RFC 8414)",
        "签发方的元数据（OpenID Connect Discovery 1.0、RFC 8414）",
    ),
    (
        "The issuer's metadata; also at /.well-known/oauth-authorization-server",
        "签发方的元数据；也在 /.well-known/oauth-authorization-server",
    ),
    (
        "The members that verifiers require. The Kubernetes API server's service-account issuer publishes the same ones.",
        "验证方需要的字段，与 Kubernetes API server 为 service account 发布的相同。",
    ),
    (
        "Equals the token's `iss` byte for byte (RFC 8414 section 3.3).",
        "与 token 的 `iss` 逐字节相同（RFC 8414 第 3.3 节）。",
    ),
    // Leaving.
    ("Log out", "退出登录"),
    (
        "Forgets the session key, and refuses the token from then on. Verifiers that follow `/revocations` refuse it \
         within 10 s, others once it expires. After a 503, repeat the request. Logging out again with the same token is \
         allowed.",
        "删除 session_key，此后拒绝这个 token。跟踪 `/revocations` 的验证方在 10 秒内拒绝它，其他验证方在它过期后拒绝。\
         返回 503 时请重试。可以用同一个 token 再次退出登录。",
    ),
    ("This token", "这个 token"),
    ("All of the user's tokens", "该用户的所有 token"),
    ("Logged out", "已退出登录"),
    ("The body of `POST /logout`, which may be left out.", "`POST /logout` 的请求体，可以省略。"),
    (
        "True ends all of the user's tokens, false only this one.",
        "true 表示吊销该用户的所有 token，false 表示只吊销这一个。",
    ),
    ("Dissolve this mini program's binding", "解除当前小程序的绑定"),
    (
        "Dissolves the binding that the token was issued under, and ends all tokens that its user has for this mini \
         program: verifiers that follow `/revocations` refuse them within 10 s. The next login asks again which user the \
         person is.",
        "解除签发这个 token 时的绑定，并吊销该用户在这个小程序里的所有 token：跟踪 `/revocations` 的验证方在 10 秒内拒绝\
         它们。下次登录会重新询问用户身份。",
    ),
    ("Dissolved", "已解除绑定"),
    // Problems.
    (
        "An error: the members of RFC 9457, and some of wxmint's own.",
        "错误响应：RFC 9457 的字段，以及 wxmint 自己的几个字段。",
    ),
    ("`urn:wxmint:problem:` and the code.", "`urn:wxmint:problem:` 加上错误码。"),
    ("The code in words, always the same.", "错误码的文字说明，固定不变。"),
    ("The HTTP status.", "HTTP 状态码。"),
    ("What was wrong here, and what to do.", "哪里不对，该怎么办。"),
    ("Stable, for programs.", "错误码，稳定不变，供程序判断。"),
    ("Also in `X-Request-Id` and in the log.", "也在响应头 `X-Request-Id` 和日志里。"),
    ("Seconds to wait; also in `Retry-After`.", "需要等待的秒数，也在响应头 `Retry-After` 里。"),
    (
        "With `binding_required`: in place of `code` in the login that says who it is. One use, 5 minutes.",
        "随 `binding_required` 返回：说明用户身份的那次登录用它代替 `code`。只能用一次，5 分钟内有效。",
    ),
    ("The request is not valid", "请求无效"),
    ("A password does not belong in a URL", "密码不能放在 URL 里"),
    ("This mini program is not configured here", "没有配置这个小程序"),
    ("WeChat does not accept the code", "微信不接受这个 code"),
    ("The code or ticket has been used", "code 或 bind_ticket 已经用过"),
    ("The access token is missing or not valid", "没有 token，或 token 无效"),
    ("This WeChat identity is not bound to a user yet", "这个微信还没有绑定用户"),
    ("User name or password is wrong", "用户名或密码错误"),
    ("This user is refused", "该用户被拒绝"),
    ("WeChat identity or user is bound already", "这个微信或这个用户已有绑定"),
    ("The data cannot be decrypted", "数据无法解密"),
    ("Too many attempts", "尝试次数过多"),
    ("WeChat refuses this service's configuration", "微信拒绝 wxmint 的配置"),
    ("WeChat does not answer at the moment", "微信暂时没有响应"),
    ("The store does not answer at the moment", "Redis 暂时没有响应"),
    ("The account service does not answer at the moment", "账号服务暂时没有响应"),
    ("This service has made a mistake", "wxmint 内部出错"),
];

/// The document as text, because a parsed one would lose the order of its paths.
pub(super) fn translated(json: &str) -> String {
    let mut text = json.to_owned();
    for (english, chinese) in TAGS {
        text = text
            .replace(&format!(r#""tags":["{english}"]"#), &format!(r#""tags":["{chinese}"]"#))
            .replace(&format!(r#"{{"name":"{english}","desc"#), &format!(r#"{{"name":"{chinese}","desc"#));
    }
    [r#""summary":"#, r#""description":"#].into_iter().fold(text, |text, member| with_chinese(&text, member))
}

/// The text with each string that follows `member` in Chinese. A quotation mark within a string is escaped, so `member` is
/// found only where it is one.
fn with_chinese(text: &str, member: &str) -> String {
    let mut parts = text.split(member);
    let mut written = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut strings = Deserializer::from_str(part).into_iter::<String>();
        let said = strings.next().and_then(Result::ok).map(|english| serde_json::Value::from(chinese(&english)));
        let rest = if said.is_some() { &part[strings.byte_offset()..] } else { part };
        written.push_str(member);
        written.extend(said.map(|said| said.to_string()));
        written.push_str(rest);
    }
    written
}

/// A paragraph may begin with a problem's code. What is not in the table stays, which a test refuses.
fn chinese(english: &str) -> String {
    let paragraph = |paragraph: &str| {
        let paragraph = paragraph.replace('\n', " ");
        let (code, words) = coded(&paragraph);
        let found = PARAGRAPHS.iter().find(|(english, _)| *english == words);
        found.map_or_else(|| paragraph.clone(), |(_, chinese)| format!("{}{chinese}", code.replace(": ", "：")))
    };
    english.split("\n\n").map(paragraph).collect::<Vec<_>>().join("\n\n")
}

/// "`code_used`: " and what follows.
fn coded(paragraph: &str) -> (&str, &str) {
    let end = paragraph.strip_prefix('`').and_then(|rest| rest.find("`: ")).map_or(0, |end| end + "``: ".len());
    paragraph.split_at(end)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::{
        super::{Language, LoginExamples, described},
        *,
    };

    fn document(language: Language) -> Value {
        serde_json::from_str(&described(&LoginExamples::default(), language, "https://login.example.com"))
            .expect("JSON")
    }

    /// Takes the words out of a document, in the order of their places.
    fn words(value: &mut Value) -> Vec<String> {
        match value {
            Value::Array(items) => items.iter_mut().flat_map(words).collect(),
            Value::Object(members) => {
                let said = ["summary", "description"]
                    .into_iter()
                    .filter_map(|name| members.get_mut(name).filter(|said| said.is_string()).map(Value::take))
                    .map(|said| said.as_str().expect("a string").to_owned())
                    .collect::<Vec<_>>();
                said.into_iter().chain(members.values_mut().flat_map(words)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn paragraphs(words: &[String]) -> BTreeSet<String> {
        let paragraphs = words.iter().flat_map(|words| words.split("\n\n"));
        paragraphs.map(|paragraph| coded(&paragraph.replace('\n', " ")).1.to_owned()).collect()
    }

    #[test]
    fn every_word_is_said_in_chinese_too_and_no_chinese_is_left_over() {
        let english = words(&mut document(Language::English));
        let said = paragraphs(&english);
        let known: BTreeSet<_> = PARAGRAPHS.iter().map(|(english, _)| (*english).to_owned()).collect();
        assert_eq!(said, known);
        assert_eq!(known.len(), PARAGRAPHS.len(), "a paragraph is there twice");
        let is_han = |c: char| ('\u{4e00}'..='\u{9fff}').contains(&c);
        for paragraph in paragraphs(&words(&mut document(Language::Chinese))) {
            assert!(paragraph.contains(is_han) || paragraph == "JWK Set", "{paragraph}");
        }
    }

    #[test]
    fn the_two_documents_differ_in_words_and_names_of_tags_alone() {
        let (mut english, mut chinese) = (document(Language::English), document(Language::Chinese));
        words(&mut english);
        words(&mut chinese);
        let named = TAGS.iter().fold(english.to_string(), |text, (english, chinese)| {
            let as_tag = |name: &str| [format!(r#""name":"{name}"}}"#), format!(r#""tags":["{name}"]"#)];
            let pairs = as_tag(english).into_iter().zip(as_tag(chinese));
            pairs.fold(text, |text, (english, chinese)| text.replace(&english, &chinese))
        });
        let named: Value = serde_json::from_str(&named).expect("JSON");
        assert_eq!(named["tags"].as_array().expect("tags").len(), TAGS.len());
        for (tag, (_, name)) in chinese["tags"].as_array().expect("tags").iter().zip(TAGS) {
            assert_eq!(tag["name"], name);
        }
        assert_eq!(named["paths"], chinese["paths"]);
        assert_eq!(named["components"], chinese["components"]);
    }
}
