//! A user's list: for each person the last decision and its generation.

use std::collections::HashMap;

use super::super::{Decision, Person};

#[derive(Default)]
pub(super) struct StoredList {
    pub(super) decided: HashMap<Person, (u64, Decision)>,
    /// The number of the last block or of its end, and whether it is a block.
    block: (u64, bool),
    /// The greatest number of the people who were erased.
    pub(super) floor: u64,
}

impl StoredList {
    pub(super) fn admitted(&self) -> impl Iterator<Item = &Person> {
        self.admissions().map(|(person, _)| person)
    }

    /// With the generation of each person's binding.
    pub(super) fn admissions(&self) -> impl Iterator<Item = (&Person, u64)> {
        let admitted = |(_, (_, decision)): &(&Person, &(u64, Decision))| matches!(decision, Decision::Admitted { .. });
        self.decided.iter().filter(admitted).map(|(person, (generation, _))| (person, *generation))
    }

    /// The number of this change.
    pub(super) fn set_blocked(&mut self, blocked: bool) -> u64 {
        let (number, held) = &mut self.block;
        if *held != blocked {
            (*number, *held) = (*number + 1, blocked);
        }
        *number
    }

    pub(super) fn ever(&self) -> Vec<Person> {
        self.decided.keys().cloned().collect()
    }

    /// Erases the people, unless one of them is admitted. Returns whether none is left.
    pub(super) fn erase(&mut self) -> bool {
        if self.admitted().next().is_some() {
            return false;
        }
        self.floor =
            self.decided.drain().map(|(_, (generation, _))| generation).max().unwrap_or_default().max(self.floor);
        true
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.block.1
    }

    pub(super) fn decide(&self, person: &Person, by_unionid: bool, per_app: u32) -> Decision {
        if self.block.1 {
            return Decision::Blocked;
        }
        let others = || self.admitted().filter(|other| *other != person);
        if others().filter(|other| other.app == person.app).count() >= per_app as usize {
            return Decision::Full;
        }
        let first = self.decided.is_empty();
        if by_unionid && (!first || self.floor > 0) && others().next().is_none() {
            return Decision::Deserted;
        }
        Decision::Admitted { first }
    }
}
