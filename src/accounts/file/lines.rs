//! The users file line by line: one user per line. Comments and blank lines stay where they are.

use std::{collections::HashMap, str};

use wxmint_ids::{UserId, foreign_id};
use zeroize::Zeroizing;

use super::claims_column::{BYTE_ORDER_MARK, ClaimsColumn};
use super::hash::StoredHash;
use crate::accounts::Username;
use crate::findings::Message;

/// Stands before the hash of a disabled user, as in shadow(5).
const DISABLED: char = '!';
/// The beginning of a hash, which distinguishes it from the words of a name.
const HASH_PREFIX: &str = "$argon2id$";

/// A line of the users file that names a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name to log in with. It is unique in a file.
    pub name: Username,
    pub hash: StoredHash,
    /// The user id. Two names may have the same one.
    pub id: UserId,
    /// Whether the user may not log in under this name.
    pub disabled: bool,
    /// The claims that are added to the user's tokens. All names of one user id have the same
    /// claims.
    pub claims: ClaimsColumn,
}

/// A parsed users file. Comments and blank lines are kept.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct UsersFile {
    lines: Vec<Line>,
}

#[derive(Debug, PartialEq, Eq)]
enum Line {
    User(User),
    /// The text of a line that is a comment or blank.
    Remark(String),
}

impl Line {
    fn read(bytes: &[u8]) -> Result<Self, Message> {
        let text = str::from_utf8(bytes).map_err(|_| message!(is_not_utf_8))?;
        let text =
            text.trim_matches(|around: char| around.is_whitespace() || around == BYTE_ORDER_MARK);
        if text.is_empty() || text.starts_with('#') {
            Ok(Self::Remark(text.to_owned()))
        } else {
            Ok(Self::User(User::parse(text)?))
        }
    }

    /// The text of the line, with its line break.
    fn content(&self) -> String {
        match self {
            Self::User(user) => user.line(),
            Self::Remark(text) => format!("{text}\n"),
        }
    }
}

impl UsersFile {
    /// Parses the file for `serve`. An empty file is refused unless `may_be_empty`, because a
    /// program that writes a file in place empties it first.
    pub fn parse_in_use(content: &[u8], may_be_empty: bool) -> Result<Self, Message> {
        let is_emptied = content.is_empty() && !may_be_empty;
        if is_emptied {
            Err(message!(is_empty_comment_alone_takes_all_users))
        } else {
            Self::parse(content)
        }
    }

    /// Parses all lines. The error says what is wrong with the first broken line, and does not
    /// repeat it.
    pub fn parse(content: &[u8]) -> Result<Self, Message> {
        if content.is_empty() {
            return Ok(Self::default());
        }
        let content = content
            .strip_suffix(b"\n")
            .ok_or_else(|| message!(does_not_end_with_line_break))?;
        let mut lines = Vec::new();
        // The lines of each name, and of each user id with its claims.
        let mut named = HashMap::new();
        let mut claimed = HashMap::new();
        for (bytes, number) in content.split(|&byte| byte == b'\n').zip(1..) {
            let line = Line::read(bytes).map_err(|fault| message!(on_line, number, fault))?;
            if let Line::User(User {
                name, id, claims, ..
            }) = &line
            {
                if let Some(earlier) = named.insert(name.clone(), number) {
                    return Err(message!(line_repeats_user_name_of_line, number, earlier));
                }
                let (earlier, theirs) = claimed
                    .entry(id.clone())
                    .or_insert_with(|| (number, claims.claims.clone()));
                // A token has the claims of one line, so two must not differ.
                if *theirs != claims.claims {
                    return Err(message!(line_has_other_claims_than_line, number, earlier));
                }
            }
            lines.push(line);
        }
        Ok(Self { lines })
    }

    /// The text of the file: a tab between two fields, a line break after each line.
    pub fn content(&self) -> Zeroizing<Vec<u8>> {
        let text: String = self.lines.iter().map(Line::content).collect();
        Zeroizing::new(text.into_bytes())
    }

    /// The users, in the order of the file.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.lines.iter().filter_map(|line| match line {
            Line::User(user) => Some(user),
            Line::Remark(_) => None,
        })
    }

    pub fn user(&self, name: &Username) -> Option<&User> {
        self.users().find(|user| user.name == *name)
    }

    fn users_mut(&mut self) -> impl Iterator<Item = &mut User> {
        self.lines.iter_mut().filter_map(|line| match line {
            Line::User(user) => Some(user),
            Line::Remark(_) => None,
        })
    }

    pub fn user_mut(&mut self, name: &Username) -> Option<&mut User> {
        self.users_mut().find(|user| user.name == *name)
    }

    /// Gives a user other claims, under all names with this id.
    pub fn set_claims(&mut self, id: &UserId, claims: &ClaimsColumn) {
        for user in self.users_mut().filter(|user| user.id == *id) {
            user.claims = claims.clone();
        }
    }

    /// Adds a user at the end. No other user may have the same name.
    pub fn add(&mut self, user: User) {
        self.lines.push(Line::User(user));
    }

    pub fn remove(&mut self, name: &Username) {
        self.lines
            .retain(|line| !matches!(line, Line::User(user) if user.name == *name));
    }
}

impl User {
    /// Parses the fields from the end: only a name may contain spaces. The position of the hash
    /// shows whether there are claims.
    pub(super) fn parse(text: &str) -> Result<Self, Message> {
        let (rest, last) = split_last(text)?;
        let (rest, middle) = split_last(rest)?;
        let (name, hash, id, claims) = match split_last(rest) {
            _ if is_hash(middle) => (rest, middle, last, ""),
            Ok((name, hash)) if is_hash(hash) => (name, hash, middle, last),
            _ if rest.split_whitespace().any(is_hash) => {
                return Err(message!(must_be_fields_of_user));
            }
            _ => (rest, middle, last, ""),
        };
        let enabled = hash.strip_prefix(DISABLED);
        Ok(Self {
            name: name
                .parse()
                .map_err(|fault: Message| message!(user_name_is_wrong, fault))?,
            hash: StoredHash::parse(enabled.unwrap_or(hash))?,
            id: foreign_id(id).map_err(|fault| message!(user_id_is_wrong, Message::from(fault)))?,
            disabled: enabled.is_some(),
            claims: claims.parse()?,
        })
    }

    /// The text of the user's line, with its line break.
    fn line(&self) -> String {
        let Self {
            name,
            hash,
            id,
            disabled,
            claims,
        } = self;
        let disabled = if *disabled {
            DISABLED.to_string()
        } else {
            String::new()
        };
        let tab = if claims.text.is_empty() { "" } else { "\t" };
        format!(
            "{}\t{disabled}{}\t{id}{tab}{}\n",
            name.as_str(),
            hash.phc,
            claims.text
        )
    }
}

/// The text before the last field, which is not empty, and the last field.
fn split_last(text: &str) -> Result<(&str, &str), Message> {
    text.trim_end()
        .rsplit_once(char::is_whitespace)
        .ok_or_else(|| message!(must_be_fields_of_user))
}

fn is_hash(field: &str) -> bool {
    field
        .strip_prefix(DISABLED)
        .unwrap_or(field)
        .starts_with(HASH_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQxNmJ5dGVzIQ$pGCDROzX6H47uHvxZs2bGTaqTm0MTaXaAqHKUY0Y65s";

    fn parse(text: &str) -> UsersFile {
        UsersFile::parse(text.as_bytes()).expect("a users file")
    }

    fn name(text: &str) -> Username {
        text.parse().expect("a name")
    }

    #[test]
    fn comments_blank_lines_and_order_are_preserved() {
        let text = format!(
            "# staff\n\nalice\t{HASH}\tu-1\n  # gone:\nbob\t!{HASH}\tu-2\n名 字\t{HASH}\tu-1\n"
        );
        let file = parse(&text);
        let users: Vec<_> = file
            .users()
            .map(|user| (user.name.as_str(), user.id.as_str(), user.disabled))
            .collect();
        assert_eq!(
            users,
            [
                ("alice", "u-1", false),
                ("bob", "u-2", true),
                ("名 字", "u-1", false)
            ]
        );
        assert_eq!(
            file.content().as_slice(),
            text.replace("  # gone", "# gone").as_bytes()
        );
    }

    #[test]
    fn a_file_in_use_that_holds_nothing_is_being_written() {
        for (text, may_be_empty, is_read) in [
            ("# nobody\n", false, true),
            ("# nobody\n", true, true),
            ("", true, true),
            ("", false, false),
        ] {
            let parsed = UsersFile::parse_in_use(text.as_bytes(), may_be_empty);
            assert_eq!(parsed.is_ok(), is_read, "{text:?} {may_be_empty}");
        }
    }

    #[test]
    fn spaces_line_ends_of_windows_and_a_byte_order_mark_do_not_matter() {
        let canonical = format!("alice\t{HASH}\tu-1\nLi Lei\t{HASH}\tu-2\n");
        for text in [
            format!("alice {HASH} u-1\nLi Lei {HASH} u-2\n"),
            format!("\u{feff}alice\t{HASH}\tu-1\r\nLi Lei\t{HASH}\tu-2\r\n"),
            format!("  alice \t {HASH}\t\tu-1  \n\tLi Lei   {HASH}   u-2\t\n"),
        ] {
            assert_eq!(
                UsersFile::parse(text.trim_end().as_bytes()),
                Err(message!(does_not_end_with_line_break)),
                "half of an id is an id"
            );
            assert_eq!(
                parse(&text).content().as_slice(),
                canonical.as_bytes(),
                "{text:?}"
            );
        }
        for blank in ["", "\n", "\n\n"] {
            assert_eq!(parse(blank).content().as_slice(), blank.as_bytes());
        }
    }

    #[test]
    fn a_fourth_column_has_claims_and_is_written_as_it_was() {
        let text = format!(
            "alice\t{HASH}\tu-1\ttenant=x;roles=a,b\nLi Lei\t!{HASH}\tu-2\troles=c\nbob\t{HASH}\troles=d\n"
        );
        let mut file = parse(&text.replace('\t', "  "));
        assert_eq!(file.content().as_slice(), text.as_bytes());
        let said: Vec<_> = file
            .users()
            .map(|user| (user.id.as_str(), user.disabled, user.claims.text.as_str()))
            .collect();
        let expected = [
            ("u-1", false, "tenant=x;roles=a,b"),
            ("u-2", true, "roles=c"),
            ("roles=d", false, ""),
        ];
        assert_eq!(said, expected);

        file.user_mut(&name("alice")).expect("alice").disabled = true;
        file.set_claims(&"u-2".parse().expect("an id"), &ClaimsColumn::default());
        let text = text.replace("alice\t", "alice\t!").replace("\troles=c", "");
        assert_eq!(file.content().as_slice(), text.as_bytes());
        let same = format!("a {HASH} u-1 roles=x\nb !{HASH} u-1 roles=x\n");
        let same = parse(&same);
        let claims: Vec<_> = same.users().map(|user| &*user.claims.text).collect();
        assert_eq!(claims, ["roles=x"; 2]);
    }

    #[test]
    fn the_error_names_the_number_of_a_broken_line_and_not_its_content() {
        let user = format!("alice\t{HASH}\tu-1");
        let long = "n".repeat(513);
        let weak = HASH.replace("t=2", "t=1");
        for (line, fault) in [
            (
                "hunter2".to_owned(),
                "must be a user name, a password's hash and a user id",
            ),
            (format!("hunter2 {HASH}"), "must be a user name"),
            (format!("{HASH} hunter2"), "must be a user name"),
            ("bob:hunter2:1:1".to_owned(), "must be a user name"),
            (
                "bob hunter2 u-2".to_owned(),
                "the password must be an Argon2id PHC string",
            ),
            (
                format!("bob {HASH} u-2 # hunter2"),
                "must be a user name, a password's hash",
            ),
            (
                format!("bob {HASH} u-2 roles=hunter2, b"),
                "must be a user name, a password's hash",
            ),
            (
                format!("{HASH} u-2 roles=hunter2"),
                "must be a user name, a password's hash",
            ),
            (
                format!("bob {HASH} u-2 hunter2"),
                "must have claims of the form name=value, with `;` between",
            ),
            (
                format!("bob {HASH} u-2 roles="),
                "must have claims of the form name=value, with `;` between",
            ),
            (
                format!("bob {HASH} u-2 roles=a;roles=hunter2"),
                "must name each claim once",
            ),
            (
                format!("bob {HASH} u-2 sub=hunter2"),
                "has the claim `sub`, which the account backend must not set",
            ),
            (
                format!("bob {HASH} u-2 x={}", "a".repeat(1024)),
                "has claims of more than 1024 bytes",
            ),
            (
                format!("bob {HASH} u-1 roles=hunter2"),
                "has other claims than line 2, which has the same user id",
            ),
            (
                format!("bob !!{HASH} u-2"),
                "the password must be an Argon2id PHC string",
            ),
            (
                format!("bob {weak} u-2"),
                "the password's hash has t outside of 2 to 10",
            ),
            (format!("bob {HASH} NULL"), "the user id must name somebody"),
            (
                format!("bob {HASH} u-名"),
                "the user id must consist of visible ASCII characters",
            ),
            (
                format!("bob\u{7} {HASH} u-2"),
                "the user name must not hold control characters",
            ),
            (
                format!("{long} {HASH} u-2"),
                "the user name must be at most 512 characters",
            ),
            (user.clone(), "repeats the user name of line 2"),
        ] {
            let file = format!("# staff\n{user}\n{line}\n");
            let said = UsersFile::parse(file.as_bytes()).expect_err("broken");
            assert!(
                said.starts_with(&format!("line 3: {fault}")),
                "{line:?}: {said}"
            );
            assert!(
                !said.contains("hunter2") && !said.contains("bob") && !said.contains("pGCD"),
                "{said}"
            );
        }
        let not_text = [user.as_bytes(), b"\n\xff\n"].concat();
        assert_eq!(
            UsersFile::parse(&not_text),
            Err(message!(on_line, 2, message!(is_not_utf_8)))
        );
    }

    #[test]
    fn users_are_added_changed_and_removed() {
        let mut file = parse(&format!("alice {HASH} u-1\n# end\n"));
        let bob = User {
            name: name("bob"),
            hash: StoredHash::parse(HASH).expect("a hash"),
            id: "u-2".parse().expect("an id"),
            disabled: false,
            claims: ClaimsColumn::default(),
        };
        file.add(bob);
        file.user_mut(&name("alice")).expect("alice").disabled = true;
        assert_eq!(
            file.users()
                .map(|user| user.name.as_str())
                .collect::<Vec<_>>(),
            ["alice", "bob"]
        );
        assert_eq!(
            parse(&String::from_utf8_lossy(&file.content())),
            file,
            "what is written reads the same"
        );
        file.remove(&name("alice"));
        assert!(file.user_mut(&name("alice")).is_none());
        assert!(file.content().starts_with(b"# end\nbob\t$argon2id$"));
    }
}
