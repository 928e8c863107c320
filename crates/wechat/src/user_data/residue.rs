//! Proves that decrypting data leaves no copy of the session key in memory.

#![cfg(target_os = "linux")]

use std::{fs, fs::File, os::unix::fs::FileExt, sync::mpsc, thread};

use wxmint_ids::Platform;
use zeroize::Zeroize;

use super::*;

/// A key that is stored inverted, so that the search does not find the value that it searches for.
#[derive(Clone, Copy)]
struct Hidden([u8; BLOCK]);

impl Hidden {
    fn random() -> Self {
        let mut bytes = [0; BLOCK];
        aws_lc_rs::rand::fill(&mut bytes).expect("random bytes");
        Self(bytes)
    }

    fn session_key(self) -> SessionKey {
        let mut bytes = self.0.map(|byte| !byte);
        let text = STANDARD.encode(bytes);
        bytes.zeroize();
        SessionKey::new(text)
    }

    /// Whether the key's bytes are anywhere in the memory of this process.
    fn is_in_memory(self) -> bool {
        let maps = fs::read_to_string("/proc/self/maps").expect("Linux");
        let memory = File::open("/proc/self/mem").expect("Linux");
        maps.lines()
            .filter(|map| map.contains(" rw"))
            .any(|map| self.is_in(&memory, map))
    }

    fn is_in(self, memory: &File, map: &str) -> bool {
        const CHUNK: usize = 1 << 20;
        let (range, _) = map.split_once(' ').expect("a range");
        let (start, end) = range.split_once('-').expect("a range");
        let [start, end] =
            [start, end].map(|address| u64::from_str_radix(address, 16).expect("an address"));
        let mut chunk = vec![0; CHUNK + BLOCK];
        (start..end).step_by(CHUNK).any(|at| {
            // Some mapped memory cannot be read.
            let read = memory.read_at(&mut chunk, at).unwrap_or(0);
            self.is_among(&chunk[..read])
        })
    }

    /// Compares the first byte separately, because searching all of memory takes long in a test
    /// build.
    fn is_among(self, bytes: &[u8]) -> bool {
        let (first, mut at) = (!self.0[0], 0);
        while at + BLOCK <= bytes.len() {
            if bytes[at] == first
                && bytes[at..]
                    .iter()
                    .zip(self.0)
                    .all(|(byte, hidden)| *byte == !hidden)
            {
                return true;
            }
            at += 1;
        }
        false
    }
}

/// Runs `work` on a thread that then waits, so that nothing overwrites what it has left on its
/// stack.
fn leaves_the_key(work: fn(Hidden)) -> bool {
    let hidden = Hidden::random();
    let (done, is_done) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let worker = thread::spawn(move || {
        work(hidden);
        done.send(()).expect("somebody waits");
        let _ = may_go_on.recv();
    });
    is_done.recv().expect("done");
    let found = hidden.is_in_memory();
    drop(go_on);
    worker.join().expect("an end");
    found
}

fn open_something(hidden: Hidden) {
    let data = UserData::Encrypted {
        ciphertext: vec![0; 2 * BLOCK],
        iv: [0; BLOCK],
    };
    let person = Person {
        platform: Platform::WeChat,
        app: "wx1".parse().expect("an AppID"),
        openid: "o1".parse().expect("an openid"),
    };
    let check = DataCheck {
        person: &person,
        now: DateTime::UNIX_EPOCH,
        max_age: Duration::ZERO,
    };
    let opened = data.open(&hidden.session_key(), &check);
    assert_eq!(opened, None);
}

#[test]
fn after_decrypting_the_key_is_nowhere_in_memory() {
    assert!(!leaves_the_key(open_something));
}

#[test]
fn the_search_finds_a_key_that_is_in_memory() {
    assert!(leaves_the_key(|hidden| std::mem::forget(Box::new(
        hidden.0.map(|byte| !byte)
    ))));
}
