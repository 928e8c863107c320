//! The platforms of mini programs, and what keeps the ids of two platforms apart.

use std::str::FromStr;

use derive_more::{Display, FromStr as ByName};
use wxmint_verify::identifier;

use crate::{InvalidId, WORD, is_base64url, unprintable};

/// A platform that runs mini programs. Its name stands in the names of Redis keys, in computed user
/// ids, exports, audit events and metrics, so that equal ids of two platforms are two persons.
///
/// The apps of Xiaohongshu and WeCom cannot be configured yet. Their names are taken:
/// what is stored must not have to change when they come.
#[derive(Debug, Display, ByName, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[display(rename_all = "lowercase")]
#[from_str(rename_all = "lowercase")]
pub enum Platform {
    #[default]
    WeChat,
    Douyin,
    Qq,
    Kuaishou,
    Bilibili,
    Xiaohongshu,
    WeCom,
    Alipay,
    Huawei,
}

impl Platform {
    /// All platforms, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::WeChat,
        Self::Douyin,
        Self::Qq,
        Self::Kuaishou,
        Self::Bilibili,
        Self::Xiaohongshu,
        Self::WeCom,
        Self::Alipay,
        Self::Huawei,
    ];

    /// The name in lower case, as labels of metrics, audit events and exports have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WeChat => "wechat",
            Self::Douyin => "douyin",
            Self::Qq => "qq",
            Self::Kuaishou => "kuaishou",
            Self::Bilibili => "bilibili",
            Self::Xiaohongshu => "xiaohongshu",
            Self::WeCom => "wecom",
            Self::Alipay => "alipay",
            Self::Huawei => "huawei",
        }
    }

    /// The number in packed values, which never changes.
    pub(crate) const fn number(self) -> u8 {
        self as u8
    }

    /// The platform with this [`number`](Self::number).
    pub(crate) fn numbered(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The text before an AppID in the name of a Redis key. It is empty for WeChat, and ends with a
    /// slash otherwise, which no AppID contains.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::WeChat => "",
            Self::Douyin => "douyin/",
            Self::Qq => "qq/",
            Self::Kuaishou => "kuaishou/",
            Self::Bilibili => "bilibili/",
            Self::Xiaohongshu => "xiaohongshu/",
            Self::WeCom => "wecom/",
            Self::Alipay => "alipay/",
            Self::Huawei => "huawei/",
        }
    }
}

identifier! {
    /// The operator's word for apps that share unionids.
    ScopeWord, 64, WORD, is_base64url
}
unprintable!(ScopeWord);

identifier! {
    /// An id of a person, as a platform writes it. The excluded characters separate the parts of Redis
    /// keys.
    IdText, 128, "visible ASCII characters except `:`, `{` and `}`", |byte| {
        byte.is_ascii_graphic() && !matches!(byte, b':' | b'{' | b'}')
    }
}
unprintable!(IdText);

impl IdText {
    /// Parses an id of this platform. WeChat's consist of base64url characters.
    fn of(platform: Platform, text: &str) -> Result<Self, InvalidId> {
        let id: Self = text.parse()?;
        if platform == Platform::WeChat && !text.bytes().all(is_base64url) {
            return Err(InvalidId::Alphabet { alphabet: WORD });
        }
        Ok(id)
    }
}

/// A platform's id of one person in one app. WeChat's have 28 characters of base64url in practice; those
/// of other platforms have more and other characters. It comes only from the platform's responses, and
/// never gets into a token or a log.
///
/// A text is parsed as an openid of WeChat; [`new`](Self::new) makes one of another platform.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OpenId(IdText);
unprintable!(OpenId);

impl OpenId {
    /// The most bytes that an openid may have.
    pub const MAX_LEN: usize = IdText::MAX_LEN;

    /// Parses an openid of this platform.
    pub fn new(platform: Platform, text: &str) -> Result<Self, InvalidId> {
        IdText::of(platform, text).map(Self)
    }

    /// The identifier, unchanged.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for OpenId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(Platform::WeChat, text)
    }
}

/// The apps that share unionids: a platform and, because one platform can have several such groups
/// of apps, the operator's word for the group. WeChat's unionids are in one scope, because their
/// texts differ anyway.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnionScope(Option<(Platform, ScopeWord)>);

impl UnionScope {
    /// The scope of a platform's apps that have this word. It is ignored for WeChat.
    pub fn new(platform: Platform, word: &str) -> Result<Self, InvalidId> {
        if platform == Platform::WeChat {
            Ok(Self::default())
        } else {
            Ok(Self(Some((platform, word.parse()?))))
        }
    }

    /// The platform of the apps.
    pub fn platform(&self) -> Platform {
        self.0.as_ref().map_or(Platform::WeChat, |(of, _)| *of)
    }

    /// The operator's word for the apps. It is empty for WeChat.
    pub fn word(&self) -> &str {
        self.0.as_ref().map_or("", |(_, word)| word.as_str())
    }

    /// The text before a unionid in the name of a Redis key. It is empty for WeChat, and ends with
    /// a colon otherwise, which no unionid contains.
    pub fn prefix(&self) -> String {
        match &self.0 {
            None => String::new(),
            Some((platform, word)) => [platform.prefix(), word.as_str(), ":"].concat(),
        }
    }
}

/// The id of one person in all apps of a scope. It is as private as an openid.
///
/// A text is parsed as a unionid of WeChat; [`new`](Self::new) makes one of another platform.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnionId {
    scope: UnionScope,
    text: IdText,
}
unprintable!(UnionId);

impl UnionId {
    /// The most bytes that a unionid may have.
    pub const MAX_LEN: usize = IdText::MAX_LEN;

    /// Parses a unionid of this scope.
    pub fn new(scope: UnionScope, text: &str) -> Result<Self, InvalidId> {
        let text = IdText::of(scope.platform(), text)?;
        Ok(Self { scope, text })
    }

    /// The apps in which this is the person's id.
    pub fn scope(&self) -> &UnionScope {
        &self.scope
    }

    /// The identifier, unchanged, without its scope.
    pub fn as_str(&self) -> &str {
        self.text.as_str()
    }
}

impl FromStr for UnionId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(UnionScope::default(), text)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_platform_has_a_name_a_number_and_a_prefix_of_its_own() {
        let mut prefixes = HashSet::new();
        for platform in Platform::ALL {
            assert_eq!(platform.name().parse(), Ok(platform));
            assert_eq!(platform.to_string(), platform.name());
            assert_eq!(Platform::numbered(platform.number()), Some(platform));
            assert!(prefixes.insert(platform.prefix()), "{platform}");
            let before_slash = platform.prefix().strip_suffix('/');
            let is_expected = match platform {
                Platform::WeChat => platform.prefix().is_empty(),
                _ => before_slash == Some(platform.name()),
            };
            assert!(is_expected, "{platform}");
        }
        assert_eq!(Platform::numbered(Platform::ALL.len() as u8), None);
    }

    #[test]
    fn wechats_openids_are_base64url_and_those_of_others_may_have_marks() {
        assert!(OpenId::new(Platform::Huawei, "MDF@a/b+c=.").is_ok());
        for marked in ["o@1", "o/1", "o.1"] {
            assert!(marked.parse::<OpenId>().is_err(), "{marked}");
        }
        for separator in ["o:1", "o{1", "o}1", "o 1"] {
            assert!(
                OpenId::new(Platform::Huawei, separator).is_err(),
                "{separator}"
            );
        }
    }

    #[test]
    fn a_scope_is_a_platform_and_a_word_and_wechat_has_one_scope() {
        let wechat = UnionScope::new(Platform::WeChat, "shops").expect("a scope");
        assert_eq!(wechat, UnionScope::default());
        assert_eq!(wechat.prefix(), "");
        let shops = UnionScope::new(Platform::Douyin, "shops").expect("a scope");
        assert_eq!(shops.prefix(), "douyin/shops:");
        let of_wechat: UnionId = "u1".parse().expect("a unionid");
        assert_ne!(UnionId::new(shops.clone(), "u1"), Ok(of_wechat));
        assert!(UnionId::new(shops, "u@/+=.1").is_ok());
        assert!(
            "u@1".parse::<UnionId>().is_err(),
            "WeChat has no such unionid"
        );
        for word in ["", "a b", "a:b", "a/b", &"a".repeat(65)] {
            assert!(UnionScope::new(Platform::Douyin, word).is_err(), "{word}");
        }
    }
}
