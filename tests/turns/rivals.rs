//! Rivals come between: other use cases of the same person or user, from their beginning to their end.

use std::cell::RefCell;
use std::rc::Rc;

use futures_util::FutureExt;
use serde_json::{Value, json};

use crate::answer::{Answer, claims};
use crate::case::Whose;
use crate::house::House;
use crate::laws::{After, Held, hold};
use crate::store::Rival;
use crate::wechat::APPID;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    LogIn,
    LogOutEverywhere,
    Unbind,
    End,
    Block,
    Dissolve,
    EndPerson,
    Erase,
}

impl Act {
    pub(crate) const ALL: [Self; 8] = [
        Self::LogIn,
        Self::LogOutEverywhere,
        Self::Unbind,
        Self::End,
        Self::Block,
        Self::Dissolve,
        Self::EndPerson,
        Self::Erase,
    ];

    /// Whether there is somebody to do it, and to whom it is done.
    pub(crate) fn can_be(self, whose: &Whose) -> bool {
        match self {
            _ if whose.person.is_empty() => false,
            Self::LogIn | Self::EndPerson | Self::Erase => true,
            Self::LogOutEverywhere | Self::Unbind => !whose.token.is_empty(),
            Self::End | Self::Block | Self::Dissolve => !whose.user.is_empty(),
        }
    }

    async fn ask(self, house: &House, whose: &Whose) -> Answer {
        let user = &whose.user;
        match self {
            Self::LogIn => house.log_in_with(APPID, whose.person, json!({})).await,
            Self::LogOutEverywhere => {
                house
                    .by(&whose.token, "POST", "/logout", json!({"everywhere": true}))
                    .await
            }
            Self::Unbind => {
                house
                    .by(&whose.token, "DELETE", "/binding", Value::Null)
                    .await
            }
            Self::End => {
                house
                    .operate("POST", &format!("/users/{user}/revoke"), Value::Null)
                    .await
            }
            Self::Block => {
                house
                    .operate("PUT", &format!("/users/{user}/block"), Value::Null)
                    .await
            }
            Self::Dissolve => {
                house
                    .operate(
                        "DELETE",
                        &format!("/users/{user}/wechat/{APPID}"),
                        Value::Null,
                    )
                    .await
            }
            Self::EndPerson => {
                let path = format!(
                    "/wechat/{APPID}/people/{}/revoke",
                    house.openid(whose.person).await
                );
                house.operate("POST", &path, Value::Null).await
            }
            Self::Erase => {
                let path = format!(
                    "/wechat/{APPID}/people/{}",
                    house.openid(whose.person).await
                );
                house.operate("DELETE", &path, Value::Null).await
            }
        }
    }

    /// Whether the act revokes this token, if it was answered before.
    fn revokes(self, whose: &Whose, token: &str) -> bool {
        let claims = claims(token);
        let is_theirs = claims["sub"] == whose.user.as_str();
        let is_of_app = claims["client_id"] == APPID;
        match self {
            Self::LogIn => false,
            Self::LogOutEverywhere | Self::End | Self::Block => is_theirs,
            Self::Unbind | Self::Dissolve | Self::EndPerson | Self::Erase => is_theirs && is_of_app,
        }
    }
}

/// The outcome of somebody who came between.
#[derive(Default)]
pub(crate) struct Came {
    answer: Option<Answer>,
    /// The tokens that there were when it was asked.
    before: Vec<String>,
}

pub(crate) type Told = Rc<RefCell<Came>>;

/// Comes once, to another process.
pub(crate) fn rival(act: Act, house: &House, whose: &Whose) -> (Rival, Told) {
    let told = Told::default();
    let (house, whose, tells) = (house.clone(), whose.clone(), Rc::clone(&told));
    let come = move || {
        let (house, whose, tells) = (house.clone(), whose.clone(), Rc::clone(&tells));
        async move {
            let replica = house.replica().await;
            let before = house.tokens();
            let answer = act.ask(&replica, &whose).await;
            tells.replace(Came {
                answer: Some(answer),
                before,
            });
        }
        .boxed_local()
    };
    (Rc::new(come), told)
}

/// The answer that the rival got holds.
pub(crate) fn holds(act: Act, whose: &Whose, told: &Told, after: &After) -> Held {
    let came = told.borrow();
    let Some(answer) = &came.answer else {
        return Ok(());
    };
    hold(answer.status != 500, || {
        format!("{act:?} was answered {answer:?}")
    })?;
    if !answer.is_done() {
        return Ok(());
    }
    for token in came.before.iter().filter(|token| act.revokes(whose, token)) {
        after
            .refuses(token)
            .map_err(|law| format!("after {act:?}: {law}"))?;
    }
    if act == Act::Block {
        // Whoever was let in by a login that was under way is refused, too.
        for token in after
            .tokens
            .keys()
            .filter(|token| claims(token)["sub"] == whose.user.as_str())
        {
            after
                .refuses(token)
                .map_err(|law| format!("of a blocked user: {law}"))?;
        }
    }
    Ok(())
}
