//! A users file. What is wrong with it is printed, and must not be a name, a hash or a password in the wrong place.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wxmint::accounts::UsersFile;

/// Of seeds that stand for a password in the wrong place.
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
