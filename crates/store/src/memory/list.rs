//! A user's list: for each person the last decision and its generation.

use std::collections::HashMap;

use crate::{COMPUTED, Decision, Person};

#[derive(Default)]
pub(super) struct StoredList {
    pub(super) decided: HashMap<Person, (u64, Decision)>,
    /// The number of the last block or of its end, and whether it is a block.
    block: (u64, bool),
    /// The greatest number of the people who were erased.
    floor: u64,
    /// The numbers of people who were struck off while others stayed.
    struck: HashMap<Person, u64>,
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

    pub(super) fn strike_off(&mut self, person: &Person) {
        self.decided.retain(|other, (generation, _)| other != person || *generation != COMPUTED);
        if self.admitted().any(|admitted| admitted == person) {
            return;
        }
        if let Some((generation, _)) = self.decided.remove(person) {
            self.struck.insert(person.clone(), generation);
            if self.decided.is_empty() {
                self.floor = self.floor.max(generation);
            }
        }
    }

    /// The greatest number of the person that was erased.
    pub(super) fn erased(&self, person: &Person) -> u64 {
        self.struck.get(person).copied().unwrap_or_default().max(self.floor)
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
