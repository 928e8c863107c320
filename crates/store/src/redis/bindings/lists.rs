//! The list of a user: the persons who are or were bound to the user.

use std::collections::HashMap;

use wxmint_ids::{AppId, Person, UserId, packed};
use wxmint_redis_link::Call;

use super::Bindings;
use crate::redis::{flag, name, script};
use crate::{Decision, EMPTY_LIST_KEPT, Generation, Intent, NUMBERS_KEPT, Result, StoreError};

/// The fields of a user's list that are not persons.
const NO_PEOPLE: [&[u8]; 3] = [b"block", b"ended", b"floor"];

impl Bindings {
    /// Decides whether the user admits the person, once for each generation. Nothing else decides
    /// this. `per_app` is the number of persons of one app that a user may have.
    pub async fn admit(
        &self,
        person: &Person,
        generation: Generation,
        intent: &Intent,
        per_app: u32,
    ) -> Result<Decision> {
        let Intent {
            user, by_unionid, ..
        } = intent;
        let script = script::ADMIT.on(&[
            &name::user(user),
            &name::gone(user),
            &name::struck(user, person),
        ]);
        let script = script
            .arg(packed::person(person))
            .arg(generation.number())
            .arg(packed::app(person.platform, &person.app))
            .arg(per_app);
        let sign: String = self
            .link
            .run_confirmed("admit", script.arg(flag(*by_unionid)))
            .await?;
        match sign.as_str() {
            "*" | "+" => Ok(Decision::Admitted { first: sign == "*" }),
            "f" => Ok(Decision::Full),
            "d" => Ok(Decision::Deserted),
            "b" => Ok(Decision::Blocked),
            "-" => Ok(Decision::Dismissed),
            _ => Err(StoreError::Damaged("a user's list")),
        }
    }

    /// The persons on the user's list. `None` if the user never had any.
    pub async fn people_of(&self, user: &UserId) -> Result<Option<Vec<Person>>> {
        let asked = Call::of("HGETALL", name::user(user))
            .cmd("HLEN")
            .arg(name::gone(user));
        let (list, gone): (HashMap<Vec<u8>, Vec<u8>>, u64) =
            self.link.run("people_of", asked).await?;
        let admitted = list
            .keys()
            .filter(|name| !NO_PEOPLE.contains(&name.as_slice()));
        let admitted = admitted
            .map(|name| packed::read_person(name))
            .collect::<Result<Vec<_>, _>>()?;
        Ok((gone > 0 || !admitted.is_empty()).then_some(admitted))
    }

    /// All persons that the user's list names, also those who have left or were not admitted.
    pub async fn ever_of(&self, user: &UserId) -> Result<Vec<Person>> {
        let asked = Call::of("HGETALL", name::user(user))
            .cmd("HGETALL")
            .arg(name::gone(user));
        type Entries = HashMap<Vec<u8>, Vec<u8>>;
        let (list, gone): (Entries, Entries) = self.link.run("ever_of", asked).await?;
        let people = list
            .keys()
            .chain(gone.keys())
            .filter(|name| !NO_PEOPLE.contains(&name.as_slice()));
        Ok(people
            .map(|name| packed::read_person(name))
            .collect::<Result<_, _>>()?)
    }

    /// The persons of an app who have been removed from the user's list, each with the generation
    /// of that binding.
    pub async fn unbound_people(
        &self,
        user: &UserId,
        app: &AppId,
    ) -> Result<Vec<(Person, Generation)>> {
        let gone: HashMap<Vec<u8>, Vec<u8>> = self
            .link
            .run("gone", Call::of("HGETALL", name::gone(user)))
            .await?;
        gone.iter()
            .filter_map(|(person, decision)| admission(person, decision, app).transpose())
            .collect()
    }

    /// Erases a person from a user's list, if the person has left it or has a computed user. The
    /// generation of the person's last binding stays for [`NUMBERS_KEPT`], and so does a list
    /// without persons. A block stays.
    pub async fn remove_from_list(&self, user: &UserId, person: &Person) -> Result<()> {
        let script = script::CHANGE_LIST.on(&[
            &name::user(user),
            &name::gone(user),
            &name::struck(user, person),
        ]);
        let script = script
            .arg("strike")
            .arg(NUMBERS_KEPT.as_secs())
            .arg(packed::person(person));
        Ok(self.link.run_confirmed("remove_from_list", script).await?)
    }

    /// Lets the user's list expire after [`EMPTY_LIST_KEPT`], unless it has persons or the user is
    /// blocked.
    pub async fn expire_list(&self, user: &UserId) -> Result<()> {
        let script = script::CHANGE_LIST.on(&[&name::user(user), &name::gone(user)]);
        Ok(self
            .link
            .run_confirmed(
                "expire_list",
                script.arg("expire").arg(EMPTY_LIST_KEPT.as_secs()),
            )
            .await?)
    }
}

/// Reads an entry of a user's list, in the form of `admit.lua`: a person who is or was admitted in
/// this app, with the generation. `None` for other entries.
pub(in crate::redis) fn admission(
    person: &[u8],
    decision: &[u8],
    app: &AppId,
) -> Result<Option<(Person, Generation)>> {
    let generation = match (decision.split_last(), packed::is_in_app(person, app)) {
        (Some((b'c', _)), true) => Some(Generation::Computed),
        (Some((b'+' | b'*' | b'-', text)), true) => str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse().ok())
            .map(Generation::from_number),
        _ => return Ok(None),
    };
    let generation = generation.ok_or(StoreError::Damaged("a user's list"))?;
    Ok(Some((packed::read_person(person)?, generation)))
}
