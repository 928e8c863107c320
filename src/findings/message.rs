//! A text for people, in English and in Chinese. `texts.json` has both under a code, with `{0}` in
//! place of the first argument. A door has a file of its own.

use std::fmt::{self, Display};

use derive_more::Deref;
use serde::Serialize;

/// A text in both languages. `{}` is the English, which the log and JSON have; `{:#}` is the
/// Chinese.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deref)]
#[serde(into = "String")]
pub struct Message {
    #[deref(forward)]
    english: String,
    chinese: String,
}

/// Makes a [`Message`] from a code: `message!(redis_has_version, "7.4")`. The compiler refuses an
/// unknown code and a wrong number of arguments. For the texts of a door, its catalog stands before
/// the code: `message!(CATALOG: may_ask, client)`. A text that is the same in both languages needs
/// no code: `message!("{}: {}", path, error)`.
macro_rules! message {
    ($code:ident $(, $argument:expr)* $(,)?) => { message!($crate::findings::CATALOG: $code $(, $argument)*) };
    ($words:path: $code:ident $(, $argument:expr)* $(,)?) => {{
        const TEXTS: [&str; 2] =
            $crate::findings::catalog_entry($words, stringify!($code), <[&str]>::len(&[$(stringify!($argument)),*]));
        $crate::findings::Message::filled(TEXTS, &[$(&$argument),*])
    }};
    ($words:literal $(, $argument:expr)+) => {
        $crate::findings::Message::new(
            format_args!($words $(, $argument)+),
            format_args!($words $(, format_args!("{:#}", $argument))+),
        )
    };
}

/// Implements `From` for errors: their `Display` is the English, and the macro has the Chinese.
/// Quoted values stay as they are.
macro_rules! in_chinese {
    ($($error:ty: $($which:pat => $chinese:literal $([$argument:expr])?),+;)+) => { $(
        impl From<$error> for $crate::findings::Message {
            fn from(error: $error) -> Self {
                match &error {
                    $($which => Self::new(format_args!("{error}"), format_args!($chinese $(, $argument)?)),)+
                }
            }
        }
    )+ };
}

/// Each code with its English and its Chinese.
pub type Catalog = &'static [[&'static str; 3]];

/// The texts of the core.
pub(crate) const CATALOG: Catalog = &include!("texts.json");

/// The English and the Chinese of a code. Does not compile if the catalog lacks the code, or has it
/// with another number of arguments.
pub(crate) const fn catalog_entry(
    words: Catalog,
    code: &str,
    arguments: usize,
) -> [&'static str; 2] {
    let mut at = 0;
    let code = code.as_bytes();
    while at < words.len() {
        let [known, english, chinese] = words[at];
        let mut same = 0;
        while same < code.len() && same < known.len() && code[same] == known.as_bytes()[same] {
            same += 1;
        }
        if same == code.len() && same == known.len() {
            let wanted = places(english.as_bytes());
            let most = places(chinese.as_bytes());
            assert!(
                wanted == arguments && most <= arguments,
                "texts.json has this code with other arguments"
            );
            return [english, chinese];
        }
        at += 1;
    }
    panic!("texts.json does not have this code")
}

/// The number of arguments that a text takes.
const fn places(text: &[u8]) -> usize {
    let mut at = 2;
    let mut most = 0;
    while at < text.len() {
        if let (b'{', digit @ b'0'..=b'9', b'}') = (text[at - 2], text[at - 1], text[at]) {
            let number = (digit - b'0') as usize + 1;
            most = if number > most { number } else { most };
        }
        at += 1;
    }
    most
}

impl Message {
    /// A message of two formatted texts.
    pub fn new(english: fmt::Arguments<'_>, chinese: fmt::Arguments<'_>) -> Self {
        Self {
            english: english.to_string(),
            chinese: chinese.to_string(),
        }
    }

    /// A message of a catalog's two texts, with the arguments in their places.
    pub(crate) fn filled([english, chinese]: [&str; 2], arguments: &[&dyn Display]) -> Self {
        let arguments: Vec<_> = arguments
            .iter()
            .map(|argument| [argument.to_string(), format!("{argument:#}")])
            .collect();
        Self {
            english: fill(english, &arguments, 0),
            chinese: fill(chinese, &arguments, 1),
        }
    }

    /// A message of both texts of `text`: its `{}` and its `{:#}`, which are the same if it has
    /// only one.
    pub fn of(text: impl Display) -> Self {
        message!("{}", text)
    }

    /// Joins messages, each on a line of its own.
    pub fn lines(all: impl IntoIterator<Item: Display>) -> Self {
        all.into_iter()
            .map(Self::of)
            .reduce(|all, next| message!("{}\n        {}", all, next))
            .unwrap_or_default()
    }
}

/// Replaces the placeholders of a text by arguments. Other braces stay as they are.
fn fill(text: &str, arguments: &[[String; 2]], language: usize) -> String {
    let mut pieces = text.split('{');
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |said, piece| {
        let place = piece
            .split_once('}')
            .and_then(|(place, rest)| Some((place.parse::<usize>().ok()?, rest)));
        match place.and_then(|(place, rest)| Some((arguments.get(place)?, rest))) {
            Some((argument, rest)) => said + &argument[language] + rest,
            None => said + "{" + piece,
        }
    })
}

impl FromIterator<Message> for Message {
    /// Joins messages with semicolons.
    fn from_iter<I: IntoIterator<Item = Message>>(all: I) -> Self {
        all.into_iter()
            .reduce(|all, next| message!(fault_and_advice, all, next))
            .unwrap_or_default()
    }
}

impl Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if f.alternate() {
            &self.chinese
        } else {
            &self.english
        })
    }
}

impl From<Message> for String {
    fn from(said: Message) -> Self {
        said.english
    }
}

/// A text that is the same in both languages, such as a name, a command or a quotation.
impl From<String> for Message {
    fn from(text: String) -> Self {
        Self {
            chinese: text.clone(),
            english: text,
        }
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn both_texts_have_the_same_arguments_each_in_its_language() {
        let inner = message!(redis_is_not_reached);
        let said = message!("{}: {}", "vault", message!(not_checked, inner));
        assert_eq!(said.to_string(), "vault: not checked: Redis is not reached");
        assert_eq!(format!("{said:#}"), "vault: 未检查：连不上 Redis");
        let user = message!(have_it_answer_null);
        assert!(user.contains("{\"user_id\":null}"), "{user}");
        // Braces in an argument are its own.
        assert_eq!(
            message!(redis_has_version, "{0}{").to_string(),
            "version {0}{"
        );
    }
}
