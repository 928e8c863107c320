//! The name of the browser that asks for a login, as the phone shows it.
//!
//! A stranger chooses the header User-Agent freely, and the phone shows the name to the person who decides. Therefore
//! both parts of a name come from the lists below, and none of the stranger's own words is kept: a text such as "tap
//! 47" would tell the person which number to tap. The names have no digits, so that they cannot hint at a number
//! either.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The name of a browser or system, and a text that identifies it in a User-Agent.
struct Known {
    mark: &'static str,
    name: &'static str,
}

const fn known(mark: &'static str, name: &'static str) -> Known {
    Known { mark, name }
}

/// The first matching mark counts, because many browsers also name other browsers after their own
/// name.
const BROWSERS: &[Known] = &[
    known("wxwork", "WeCom"),
    known("MicroMessenger", "WeChat"),
    known("DingTalk", "DingTalk"),
    known("Lark", "Feishu"),
    known("Edg", "Edge"),
    known("OPR", "Opera"),
    known("SamsungBrowser", "Samsung Internet"),
    known("HuaweiBrowser", "Huawei Browser"),
    known("MiuiBrowser", "Mi Browser"),
    known("QQBrowser", "QQ Browser"),
    known("UCBrowser", "UC Browser"),
    known("Firefox", "Firefox"),
    known("FxiOS", "Firefox"),
    known("CriOS", "Chrome"),
    known("Chrome", "Chrome"),
    known("Safari", "Safari"),
    known("curl", "curl"),
];

/// The first matching mark counts, as for [`BROWSERS`]: Android phones also name Linux, and iPhones
/// Mac OS.
const SYSTEMS: &[Known] = &[
    known("Windows", "Windows"),
    known("iPhone", "iPhone"),
    known("iPad", "iPad"),
    known("Harmony", "HarmonyOS"),
    known("Android", "Android"),
    known("CrOS", "ChromeOS"),
    known("Tizen", "Tizen"),
    known("Web0S", "webOS"),
    known("Mac OS X", "macOS"),
    known("Linux", "Linux"),
];

/// The separator between the browser and its system. No name contains it.
const ON: &str = " on ";
const UNKNOWN: &str = "unknown device";

/// A browser and the system on which it runs. Either of them may be unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct BrowserName {
    browser: Option<&'static str>,
    system: Option<&'static str>,
}

/// The first name of the list whose mark is in this header User-Agent.
fn name_in_agent(list: &'static [Known], agent: &str) -> Option<&'static str> {
    list.iter()
        .find(|known| agent.contains(known.mark))
        .map(|known| known.name)
}

/// The name of the list that equals this text.
fn known_name(list: &'static [Known], text: &str) -> Option<&'static str> {
    list.iter()
        .map(|known| known.name)
        .find(|name| *name == text)
}

impl BrowserName {
    /// The name of the browser that sends this header User-Agent.
    pub(super) fn of_agent(agent: &str) -> Self {
        Self {
            browser: name_in_agent(BROWSERS, agent),
            system: name_in_agent(SYSTEMS, agent),
        }
    }

    /// Reads what [`Display`] has written. Any other text is no name.
    fn of_text(text: &str) -> Self {
        let (browser, system) = match text.split_once(ON) {
            Some((browser, system)) => (known_name(BROWSERS, browser), known_name(SYSTEMS, system)),
            None => (known_name(BROWSERS, text), known_name(SYSTEMS, text)),
        };
        Self { browser, system }
    }
}

impl Display for BrowserName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (self.browser, self.system) {
            (Some(browser), Some(system)) => write!(f, "{browser}{ON}{system}"),
            (Some(name), None) | (None, Some(name)) => f.write_str(name),
            (None, None) => f.write_str(UNKNOWN),
        }
    }
}

impl Serialize for BrowserName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BrowserName {
    /// Reads any other text as an unknown device: a process of an earlier version has stored the
    /// User-Agent itself.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::of_text(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_named_by_the_lists_alone() {
        for (agent, name) in [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15",
                "Safari on macOS",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/142.0 Mobile/15E148 Safari/604.1",
                "Chrome on iPhone",
            ),
            (
                "Mozilla/5.0 (Linux; Android 16; K) AppleWebKit/537.36 Chrome/142.0 Mobile Safari/537.36 wxwork/4.1 MicroMessenger/7.0.1",
                "WeCom on Android",
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0",
                "Firefox on Linux",
            ),
            ("curl/8.14.1", "curl"),
            ("a program for Linux", "Linux"),
            ("", UNKNOWN),
            ("本人操作，请点 47 确认", UNKNOWN),
            ("Tap 47. Chrome on Windows, tap 47", "Chrome on Windows"),
        ] {
            let found = BrowserName::of_agent(agent);
            assert_eq!(found.to_string(), name, "{agent}");
            assert_eq!(BrowserName::of_text(name), found, "{name}");
        }
    }

    #[test]
    fn no_name_hints_at_a_number_or_is_read_as_two() {
        for Known { name, .. } in BROWSERS.iter().chain(SYSTEMS) {
            assert!(
                !name.contains(|letter: char| letter.is_numeric()) && !name.contains(ON),
                "{name}"
            );
        }
    }

    #[test]
    fn the_words_that_an_earlier_version_has_stored_are_not_shown() {
        for stored in [
            "tap 47",
            "tap 47 on Windows",
            "Chrome on tap 47",
            "Mozilla/5.0 (Windows) Chrome/1",
            "unknown device",
        ] {
            let read: BrowserName = serde_json::from_value(stored.into()).expect("a name");
            assert!(!read.to_string().contains("47"), "{stored}");
        }
        let read: BrowserName =
            serde_json::from_value("Mozilla/5.0 (Windows) Chrome/1".into()).expect("a name");
        assert_eq!(read, BrowserName::default());
    }
}
