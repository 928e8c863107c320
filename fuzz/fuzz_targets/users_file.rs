//! A users file. The printed error must not contain a name, a hash or a misplaced password.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wxmint::accounts::UsersFile;

/// Seeds contain this in place of a misplaced password.
const MARKED: &str = "hunter2";

fuzz_target!(|file: &[u8]| match UsersFile::parse(file) {
    Ok(users) => {
        let written = users.content();
        let again = UsersFile::parse(&written).expect("what we write we read");
        assert_eq!(users, again);
        assert_eq!(*written, *again.content());
    }
    Err(error) => assert!(!format!("{error} {error:?}").contains(MARKED), "{error}"),
});
