//! Stored passwords: Argon2id hashes (RFC 9106) in the PHC string format. Parsing limits their
//! cost.

use std::ops::RangeInclusive;

use argon2::{
    Algorithm, Argon2, Block, Params, PasswordHash, PasswordHasher, Version,
    password_hash::phc::Output,
};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use wxmint_ids::unprintable;
use wxmint_keys::random;

use crate::accounts::Password;

/// The memory of a hash, in KiB. The minimum is that of OWASP's cheat sheet on password storage.
/// The maximum is a little more than Django's default, so that no line of a file can take the
/// memory of the whole service.
const MEMORY: RangeInclusive<u32> = 19_456..=131_072;
/// The number of passes over the memory. A hash with the most memory and the most passes takes
/// about half a second.
const PASSES: RangeInclusive<u32> = 2..=10;
/// The number of lanes. They are computed one after the other here, so they change the hash but not
/// its cost.
const LANES: RangeInclusive<u32> = 1..=16;
/// The length of the hash, in bytes.
const LENGTH: RangeInclusive<usize> = 16..=64;

const NOT_PHC: &str =
    "the password must be an Argon2id PHC string, $argon2id$v=19$m=…,t=…,p=…$salt$hash";
const OTHER_PARAMETERS: &str = "the password's hash must name m, t and p, and nothing else";

/// The Argon2id hash of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredHash {
    pub(super) phc: Box<PasswordHash>,
    params: Params,
}

impl StoredHash {
    /// Parses a PHC string. The error does not repeat the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let phc = PasswordHash::new(text).map_err(|_| NOT_PHC)?;
        if phc.algorithm.as_str() != "argon2id" {
            return Err("the password must be hashed with argon2id".into());
        }
        if phc.version != Some(Version::V0x13.into()) {
            return Err("the password's hash must have version 19 (v=19)".into());
        }
        for (name, range) in [("m", MEMORY), ("t", PASSES), ("p", LANES)] {
            if !range.contains(&phc.params.get_decimal(name).ok_or(OTHER_PARAMETERS)?) {
                let least = range.start();
                let most = range.end();
                return Err(format!(
                    "the password's hash has {name} outside of {least} to {most}"
                ));
            }
        }
        if phc.params.iter().count() != 3 {
            return Err(OTHER_PARAMETERS.into());
        }
        let (Some(_), Some(output)) = (&phc.salt, &phc.hash) else {
            return Err(NOT_PHC.into());
        };
        // Another password could match a hash that is too short.
        if !LENGTH.contains(&output.len()) {
            return Err("the password's hash must have 16 to 64 bytes".into());
        }
        Ok(Self {
            params: Params::try_from(&phc).map_err(|_| OTHER_PARAMETERS)?,
            phc: Box::new(phc),
        })
    }

    /// Hashes a new password with a random salt, at the default cost of the argon2 crate, which is
    /// OWASP's first recommendation. It takes 12 ms on one core of 2024.
    pub fn of(password: &Password) -> Result<Self, &'static str> {
        let hashed = Argon2::default()
            .hash_password_with_salt(password.expose().as_bytes(), &*random::<16>());
        let phc: PasswordHash = hashed.map_err(|_| NO_MEMORY)?;
        Ok(Self::parse(&phc.to_string()).expect("the default cost is within our bounds"))
    }

    /// Whether the password matches. Takes as long as [`Self::cost`] says, so it must not run on an
    /// event loop.
    pub(super) fn matches(
        &self,
        password: &Password,
        workspace: &mut Workspace,
    ) -> Result<bool, &'static str> {
        let salt = self.phc.salt.as_ref().expect("checked by `parse`");
        let mut computed = vec![0; self.secret().len()];
        let blocks = workspace.blocks(self.params.block_count())?;
        Argon2::new(Algorithm::Argon2id, Version::V0x13, self.params.clone())
            .hash_password_into_with_memory(
                password.expose().as_bytes(),
                salt,
                &mut computed,
                blocks,
            )
            .map_err(|_| "the password could not be hashed: Argon2 refused its parameters")?;
        Ok(verify_slices_are_equal(&computed, self.secret()).is_ok())
    }

    /// The cost of computing it: the memory in KiB, the passes over it, the lanes.
    pub(super) fn cost(&self) -> (u32, u32, u32) {
        (
            self.params.m_cost(),
            self.params.t_cost(),
            self.params.p_cost(),
        )
    }

    /// A secret that is the same on every replica that reads the same file.
    pub(super) fn secret(&self) -> &[u8] {
        self.phc
            .hash
            .as_ref()
            .map(Output::as_bytes)
            .expect("checked by `parse`")
    }
}

unprintable!(StoredHash);

/// Memory in which one hash after another is computed. It grows to the most that a hash has needed,
/// and is kept, because the C library would request memory of this size and alignment from the
/// system each time without returning it (glibc before 2.38: 158 MB after 500 hashes of 19 MiB).
#[derive(Default)]
pub(super) struct Workspace(Vec<Block>);

impl Workspace {
    fn blocks(&mut self, count: usize) -> Result<&mut [Block], &'static str> {
        if self.0.len() < count {
            // Frees the old blocks before the new ones are allocated.
            self.0 = Vec::new();
            self.0.try_reserve_exact(count).map_err(|_| NO_MEMORY)?;
            self.0.resize(count, Block::new());
        }
        Ok(&mut self.0)
    }
}

const NO_MEMORY: &str = "the password could not be hashed: not enough memory";

#[cfg(test)]
mod tests {
    use super::*;

    /// The hash of `hunter2` by the reference implementation: `argon2 'somesalt16bytes!' -id -t 2
    /// -k 19456 -p 1 -l 32 -e`.
    const HUNTER2: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQxNmJ5dGVzIQ$pGCDROzX6H47uHvxZs2bGTaqTm0MTaXaAqHKUY0Y65s";
    /// The same with `-t 3 -k 65536 -p 4`, the defaults of argon2-cffi and PHP.
    const DEARER: &str = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQxNmJ5dGVzIQ$1tLQWFkOl6BwIOyAR+bFm5HD2cp6NSGB82lDjWNJUI8";

    fn password(text: &str) -> Password {
        text.parse().expect("a password")
    }

    fn matches(stored: &StoredHash, text: &str) -> Result<bool, &'static str> {
        stored.matches(&password(text), &mut Workspace::default())
    }

    #[test]
    fn the_reference_implementations_hashes_are_accepted_and_written_back_unchanged() {
        for text in [HUNTER2, DEARER] {
            let stored = StoredHash::parse(text).expect("a PHC string");
            assert_eq!(matches(&stored, "hunter2"), Ok(true));
            assert_eq!(matches(&stored, "hunter3"), Ok(false));
            assert_eq!(stored.phc.to_string(), text);
            assert!(!format!("{stored:?}").contains("c29tZ"));
        }
    }

    #[test]
    fn a_new_hash_matches_only_its_password_and_is_different_each_time() {
        let [one, other] = [(); 2].map(|()| StoredHash::of(&password("hunter2")).expect("hashed"));
        assert_ne!(one, other);
        assert_eq!(one.cost(), (19_456, 2, 1), "OWASP's first recommendation");
        assert_eq!(matches(&one, "hunter2"), Ok(true));
        assert_eq!(matches(&one, "hunter2 "), Ok(false));
        assert_eq!(StoredHash::parse(&one.phc.to_string()), Ok(one));
        assert_eq!(
            matches(&super::super::users::nobody().hash, "hunter2"),
            Ok(false)
        );
    }

    #[test]
    fn hashes_are_the_same_whatever_the_workspace_held_before() {
        let mut workspace = Workspace::default();
        for (text, kibibytes) in [(HUNTER2, 19_456), (DEARER, 65_536), (HUNTER2, 65_536)] {
            let stored = StoredHash::parse(text).expect("a PHC string");
            for (guess, right) in [("hunter2", true), ("hunter3", false), ("hunter2", true)] {
                assert_eq!(stored.matches(&password(guess), &mut workspace), Ok(right));
            }
            assert_eq!(workspace.0.len(), kibibytes);
        }
    }

    #[test]
    fn the_pages_name_the_bounds_and_settings_of_frameworks_that_are_within_them() {
        for page in ["docs/accounts.md", "docs/accounts.zh-CN.md"] {
            let page = std::fs::read_to_string(page).expect("a page");
            for (name, bounds) in [("m", MEMORY), ("t", PASSES), ("p", LANES)] {
                let row = page
                    .lines()
                    .find(|line| line.starts_with(&format!("| `{name}`")))
                    .expect("a row");
                assert!(
                    row.ends_with(&format!("| {} | {} |", bounds.start(), bounds.end())),
                    "{row}"
                );
            }
            for (setting, m, t, p) in [
                ("Argon2PasswordEncoder(16, 32, 1, 19456, 2)", 19_456, 2, 1),
                (
                    "argon2.IDKey(password, salt, 2, 19456, 1, 32)",
                    19_456,
                    2,
                    1,
                ),
            ] {
                assert!(page.contains(setting), "{setting}");
                assert!(MEMORY.contains(&m) && PASSES.contains(&t) && LANES.contains(&p));
            }
            // The defaults of frameworks that the page calls too weak.
            for (m, t) in [(16_384, 2), (65_536, 1)] {
                let weak = HUNTER2.replace("m=19456,t=2", &format!("m={m},t={t}"));
                assert!(
                    StoredHash::parse(&weak).is_err()
                        && page.contains("m=16384")
                        && page.contains("t=1")
                );
            }
        }
    }

    #[test]
    fn a_hash_that_is_too_cheap_too_expensive_or_of_another_kind_is_refused() {
        let cost = |name, least, most| {
            format!("the password's hash has {name} outside of {least} to {most}")
        };
        let (not_phc, other_function) = (
            || NOT_PHC.to_owned(),
            || "the password must be hashed with argon2id".to_owned(),
        );
        let other_version = || "the password's hash must have version 19 (v=19)".to_owned();
        let with = |from: &str, to: &str| HUNTER2.replace(from, to);
        for (text, fault) in [
            ("", not_phc()),
            ("hunter2", not_phc()),
            (
                "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
                not_phc(),
            ),
            ("$argon2id$v=19$m=19456,t=2,p=1", not_phc()),
            (
                "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQxNmJ5dGVzIQ",
                not_phc(),
            ),
            (&with("argon2id", "argon2i"), other_function()),
            (&with("argon2id", "scrypt"), other_function()),
            (&with("v=19", "v=16"), other_version()),
            (&with("v=19$", ""), other_version()),
            (&with(",p=1", ""), OTHER_PARAMETERS.to_owned()),
            (
                &with(",p=1", ",p=1,keyid=aaaa"),
                OTHER_PARAMETERS.to_owned(),
            ),
            (&with("m=19456", "m=19455"), cost("m", 19_456, 131_072)),
            (&with("m=19456", "m=131073"), cost("m", 19_456, 131_072)),
            (&with("m=19456", "m=4294967295"), cost("m", 19_456, 131_072)),
            (&with("t=2", "t=1"), cost("t", 2, 10)),
            (&with("t=2", "t=11"), cost("t", 2, 10)),
            (&with("p=1", "p=0"), cost("p", 1, 16)),
            (&with("p=1", "p=17"), cost("p", 1, 16)),
            (
                "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQxNmJ5dGVzIQ$c29tZXNhbHQxNmJ5",
                "the password's hash must have 16 to 64 bytes".to_owned(),
            ),
        ] {
            assert_eq!(StoredHash::parse(text).err(), Some(fault), "{text}");
        }
    }
}
