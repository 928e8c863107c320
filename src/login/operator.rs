//! What an operator can do to a user, and no person can.

use futures_util::future::try_join_all;
use serde::Serialize;

use super::{Binder, LoginError, SettledState, new_attempt};
use crate::{
    ids::{AppId, Person, UserId},
    store::{Binding, BindingState, ErasedPerson, Store, StoreError, UserState},
};

/// Acts for an operator. Every act may be repeated, and a repetition finishes one that was interrupted. No act fails because
/// nothing is known of a user.
pub struct Operator<'a> {
    pub store: &'a dyn Store,
}

/// What is stored of a user, for operators. Times are seconds since 1970.
#[derive(Serialize)]
pub struct ShownUser {
    user_id: UserId,
    blocked: bool,
    ended_before: Option<i64>,
    last_login: Option<i64>,
    wechat: Vec<ShownBinding>,
}

/// What [`Operator::forget`] has erased.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Erased {
    /// Bindings that were dissolved first.
    pub dissolved: usize,
    /// Records of bindings.
    pub bindings: u64,
    pub session_keys: u64,
    /// Links from a unionid to the user.
    pub unionids: u64,
    /// Counts of logins, calls and failed passwords.
    pub counters: u64,
    /// People who belong to another user by now, or have logged in again meanwhile. What is stored of them stays.
    pub elsewhere: u64,
    /// False if somebody was bound to the user meanwhile: then the user's list stays.
    pub complete: bool,
}

impl Erased {
    fn add(&mut self, of_person: ErasedPerson) {
        self.bindings += of_person.bindings;
        self.session_keys += of_person.session_keys;
        self.counters += of_person.counters;
    }
}

/// One of a user's WeChat identities.
#[derive(Serialize)]
pub struct ShownBinding {
    appid: AppId,
    openid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    unionid: Option<String>,
    /// Seconds since 1970.
    bound_at: i64,
}

impl Operator<'_> {
    /// Whether anything is stored of the user: people who are or were bound, a block, or an end.
    pub async fn knows(&self, user: &UserId) -> Result<bool, StoreError> {
        let UserState { blocked, ended_before } = self.store.user_state(user).await?;
        Ok(blocked || ended_before.is_some() || self.store.people_of(user).await?.is_some())
    }

    /// Ends all of the user's tokens, and forgets the session keys of the user's people.
    pub async fn end(&self, user: &UserId) -> Result<(), StoreError> {
        for person in self.people_of(user).await? {
            self.store.forget(&person).await?;
        }
        self.store.end_user(user, None).await
    }

    /// Refuses the user's logins from now on, and ends all of the user's tokens.
    ///
    /// From the first step on the user's list admits nobody, so that the list that is read in the second step names all whose
    /// logins must find the block. The tokens are ended last: with them those of logins that were too early to find it.
    pub async fn block(&self, user: &UserId) -> Result<(), StoreError> {
        self.set_blocked(user, true).await?;
        self.end(user).await
    }

    /// Lets the user log in again. Ended tokens stay ended.
    pub async fn unblock(&self, user: &UserId) -> Result<(), StoreError> {
        self.set_blocked(user, false).await
    }

    async fn set_blocked(&self, user: &UserId, blocked: bool) -> Result<(), StoreError> {
        let number = self.store.set_blocked(user, blocked).await?;
        for person in self.people_of(user).await? {
            self.store.note_block(&person, user, number, blocked).await?;
        }
        Ok(())
    }

    /// Dissolves the user's bindings in one app, as their owner can. Returns how many there were.
    pub async fn dissolve(&self, user: &UserId, app: &AppId) -> Result<usize, LoginError> {
        let people = self.people_of(user).await?;
        self.dissolve_all(user, people.iter().filter(|person| person.app == *app)).await
    }

    async fn dissolve_all(&self, user: &UserId, people: impl Iterator<Item = &Person>) -> Result<usize, LoginError> {
        let (attempt, mut dissolved) = (new_attempt()?, 0);
        for person in people {
            let state = self.store.binding_state(person, &attempt).await?;
            if !is_of(&state, user) {
                continue;
            }
            // A binding that is half made is made without regard to the user's other ones, because it is dissolved at once.
            let binder = Binder { store: self.store, person, unionid: None, attempt: &attempt, per_user: u32::MAX };
            if let SettledState::Bound(bound) = binder.settle(state).await?
                && bound.user == *user
            {
                binder.dissolve(user, bound.generation, async || Ok(())).await?;
                dissolved += 1;
            }
        }
        Ok(dissolved)
    }

    /// Erases what is stored of the user's people, so that they are strangers at their next login: ends the tokens, dissolves the
    /// bindings, and erases records, session keys, counts and links of unionids. The user's list goes last, because a repetition
    /// finds the people there.
    ///
    /// A login of one of the people at the same time either comes too early, and its token is ended; or it makes a new binding,
    /// which stays.
    pub async fn forget(&self, user: &UserId) -> Result<Erased, LoginError> {
        self.end(user).await?;
        let people = self.store.ever_of(user).await?;
        let mut erased = Erased { dissolved: self.dissolve_all(user, people.iter()).await?, ..Erased::default() };
        for unionid in self.store.unionids_of(user).await? {
            erased.unionids += u64::from(self.store.erase_unionid(&unionid, user).await?);
        }
        erased.counters += self.store.erase_attempts(&people).await?;
        for person in &people {
            match self.store.erase_person(person).await? {
                Some(of_person) => erased.add(of_person),
                None => erased.elsewhere += 1,
            }
        }
        erased.complete = self.store.erase_list(user).await?;
        Ok(erased)
    }

    pub async fn show(&self, user: &UserId) -> Result<ShownUser, StoreError> {
        let UserState { blocked, ended_before } = self.store.user_state(user).await?;
        let bindings = self.read_bindings(user).await?;
        let logins = try_join_all(bindings.iter().map(|binding| self.store.last_login(&binding.person))).await?;
        let last_login = logins.into_iter().max().flatten().map(|at| at.timestamp());
        let wechat = bindings.into_iter().map(ShownBinding::from).collect();
        Ok(ShownUser { user_id: user.clone(), blocked, ended_before, last_login, wechat })
    }

    /// The user's bindings, oldest first.
    pub async fn bindings_of(&self, user: &UserId) -> Result<Vec<ShownBinding>, StoreError> {
        Ok(self.read_bindings(user).await?.into_iter().map(ShownBinding::from).collect())
    }

    /// The user's list may also name people whose binding has not been made yet, or has just been dissolved.
    async fn read_bindings(&self, user: &UserId) -> Result<Vec<Binding>, StoreError> {
        let people = self.people_of(user).await?;
        let bindings = try_join_all(people.iter().map(|person| self.store.binding(person))).await?;
        let mut bindings: Vec<_> = bindings.into_iter().flatten().filter(|binding| binding.user == *user).collect();
        bindings.sort_by_key(|binding| (binding.bound_at, binding.person.app.clone(), binding.person.openid.clone()));
        Ok(bindings)
    }

    async fn people_of(&self, user: &UserId) -> Result<Vec<Person>, StoreError> {
        Ok(self.store.people_of(user).await?.unwrap_or_default())
    }
}

/// Whether the person is bound to the user, or on the way to or from the user.
fn is_of(state: &BindingState, user: &UserId) -> bool {
    match state {
        BindingState::Free { .. } => false,
        BindingState::Intended { intent, .. } => intent.user == *user,
        BindingState::Bound(bound) => bound.user == *user,
        BindingState::Leaving { user: left, .. } => left == user,
    }
}

impl From<Binding> for ShownBinding {
    fn from(binding: Binding) -> Self {
        Self {
            appid: binding.person.app,
            openid: binding.person.openid.as_str().to_owned(),
            unionid: binding.unionid.map(|unionid| unionid.as_str().to_owned()),
            bound_at: binding.bound_at.timestamp(),
        }
    }
}
