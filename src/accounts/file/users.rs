//! The users in use: one immutable value, which is replaced as a whole when the file changes.

use std::{collections::HashMap, sync::Arc};

use aws_lc_rs::hmac;
use wxmint_ids::UserId;
use wxmint_keys::token::ExtraClaims;

use super::lines::{User, UsersFile};
use crate::accounts::Username;

pub(super) struct Users {
    pub(super) by_name: HashMap<Username, Arc<User>>,
    /// Whether a user may log in, and with which claims. At least one of their names must be
    /// enabled; two names may have the same user id.
    pub(super) admissions: HashMap<UserId, Option<ExtraClaims>>,
    /// The hashes for unknown names: those of all users, or, in an empty file, one that no password
    /// matches. They are ordered by cost, so that few names get a hash of another cost when the
    /// file changes.
    stand_ins: Vec<Arc<User>>,
    draw: hmac::Key,
}

impl Users {
    pub(super) fn of(file: &UsersFile) -> Self {
        let users: Vec<_> = file.users().cloned().map(Arc::new).collect();
        let mut admissions = HashMap::new();
        for user in &users {
            let admission = admissions.entry(user.id.clone()).or_insert(None);
            if !user.disabled {
                *admission = Some(user.claims.claims.clone());
            }
        }
        let mut stand_ins = if users.is_empty() {
            vec![Arc::new(nobody())]
        } else {
            users.clone()
        };
        stand_ins.sort_by_key(|user| user.hash.cost());
        // This secret is the same on every replica, seldom changes with the file, and only readers
        // of the file know it.
        let secret = stand_ins
            .iter()
            .map(|user| user.hash.secret())
            .min()
            .unwrap_or_default();
        Self {
            draw: hmac::Key::new(hmac::HMAC_SHA256, secret),
            admissions,
            by_name: users
                .into_iter()
                .map(|user| (user.name.clone(), user))
                .collect(),
            stand_ins,
        }
    }

    /// The user whose hash is computed for a name, and whether a match counts. For an unknown name
    /// this is a stand-in, whose result is ignored, so that the answer takes as long. A name always
    /// gets the same stand-in, and the costs of the stand-ins are distributed as among the users.
    /// Otherwise, in a file with hashes of several costs, the time would reveal whether a name
    /// exists.
    pub(super) fn candidate(&self, name: &Username) -> (Arc<User>, bool) {
        let tag = hmac::sign(&self.draw, name.as_str().as_bytes());
        let drawn = tag.as_ref()[..8]
            .iter()
            .fold(0, |drawn, byte| drawn << 8 | u128::from(*byte));
        let index = (drawn * self.stand_ins.len() as u128) >> 64;
        let stand_in = &self.stand_ins[index as usize];
        let known = self.by_name.get(name);
        (
            Arc::clone(known.unwrap_or(stand_in)),
            known.is_some_and(|user| !user.disabled),
        )
    }
}

/// The stand-in of an empty file: no password matches its hash, whose cost is that of a new one.
pub(super) fn nobody() -> User {
    const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    User::parse(&format!("nobody !{HASH} nobody")).expect("a line of a users file")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQxNmJ5dGVzIQ$pGCDROzX6H47uHvxZs2bGTaqTm0MTaXaAqHKUY0Y65s";
    const DEAR: &str = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQxNmJ5dGVzIQ$1tLQWFkOl6BwIOyAR+bFm5HD2cp6NSGB82lDjWNJUI8";

    fn users(lines: &[String]) -> Users {
        Users::of(&UsersFile::parse((lines.join("\n") + "\n").as_bytes()).expect("a users file"))
    }

    /// 100 users. The first `dear` of them have the more expensive hash.
    fn mixed(dear: usize) -> Vec<String> {
        (0..100)
            .map(|index| {
                format!(
                    "user{index} {} u-{index}",
                    if index < dear { DEAR } else { CHEAP }
                )
            })
            .collect()
    }

    fn name(text: &str) -> Username {
        text.parse().expect("a name")
    }

    #[test]
    fn only_an_enabled_user_with_the_right_password_is_named() {
        let users = users(&[format!("alice {CHEAP} u-1"), format!("bob !{CHEAP} u-2")]);
        let answer = |text: &str, matches: bool| {
            let (user, counts) = users.candidate(&name(text));
            (matches & counts).then(|| user.id.clone())
        };
        assert_eq!(answer("alice", true).expect("alice").as_str(), "u-1");
        assert_eq!(answer("alice", false), None);
        for nobody in ["bob", "Alice", "carol", &"n".repeat(512)] {
            assert_eq!(
                answer(nobody, true),
                None,
                "also if the stand-in's password was guessed"
            );
        }
    }

    #[test]
    fn a_hash_is_computed_for_every_name_even_with_an_empty_file() {
        let empty = users(&["# nobody yet".into()]);
        assert!(empty.by_name.is_empty());
        assert!(empty.candidate(&name("alice")).0.hash.cost() == nobody().hash.cost());
    }

    #[test]
    fn unknown_names_have_the_same_distribution_of_costs_as_users() {
        let strangers: Vec<_> = (0..1000)
            .map(|index| name(&format!("stranger{index}")))
            .collect();
        let dear = |users: &Users, name| users.candidate(name).0.hash.cost().0 == 64 * 1024;
        let (before, again) = (users(&mixed(30)), users(&mixed(30)));
        let found = strangers.iter().filter(|name| dear(&before, name)).count();
        assert!(
            (250..350).contains(&found),
            "{found} of 1000, where 30 % of the users have it"
        );
        assert!(
            strangers
                .iter()
                .all(|name| dear(&before, name) == dear(&again, name)),
            "on every replica"
        );
        let changed = users(&mixed(31));
        let moved = strangers
            .iter()
            .filter(|name| dear(&before, name) != dear(&changed, name))
            .count();
        assert!(
            moved < 30,
            "{moved} of 1000 have another cost after one of a hundred users has"
        );
    }
}
