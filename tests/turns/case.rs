//! A use case: what was before it, the one request under test, and what holds once that was answered.

use std::rc::Rc;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

use crate::answer::Answer;
use crate::house::{House, Setup};
use crate::laws::{After, Held};

/// The owner of a use case, for somebody who comes between.
#[derive(Debug, Clone, Default)]
pub(crate) struct Whose {
    /// The name of the person; empty where it is nobody's.
    pub(crate) person: &'static str,
    /// The user, once there is one.
    pub(crate) user: String,
    /// A token of the person's own mini program.
    pub(crate) token: String,
}

/// The request of a use case, with all that was made for it.
pub(crate) struct Prepared {
    pub(crate) whose: Whose,
    /// Sends the request for the first time, or once more after it was not answered as done.
    pub(crate) act: Rc<dyn Fn(House, usize) -> LocalBoxFuture<'static, Answer>>,
    /// Whether the effect holds that an answer has promised.
    pub(crate) holds: Rc<dyn Fn(Rc<After>, Answer) -> LocalBoxFuture<'static, Held>>,
}

pub(crate) struct UseCase {
    pub(crate) name: &'static str,
    /// Method and path, as the tables of routes have it.
    pub(crate) route: &'static str,
    pub(crate) setup: Setup,
    pub(crate) prepare: Rc<dyn Fn(House) -> LocalBoxFuture<'static, Prepared>>,
    /// Codes of problems that a repetition may be answered with, because something was used up by the first request.
    pub(crate) spent: &'static [&'static str],
    /// Whether a call of WeChat's API wants the shared access token, which one process at a time may fetch: whoever was
    /// about to when the store was lost keeps the others waiting for some seconds.
    pub(crate) asks_wechat: bool,
    /// Whether an answer says that the request was done.
    pub(crate) is_done: fn(&Answer) -> bool,
    /// Whether the effect holds whoever comes between: nobody undoes it.
    pub(crate) is_final: bool,
}

/// Something that a use case was made for: it says whose it is.
pub(crate) trait Scene: 'static {
    fn whose(&self) -> Whose;
}

impl Scene for Whose {
    fn whose(&self) -> Whose {
        self.clone()
    }
}

/// Whoever it is, and more that the request needs.
impl<T: 'static> Scene for (Whose, T) {
    fn whose(&self) -> Whose {
        self.0.clone()
    }
}

impl UseCase {
    pub(crate) fn new<S: Scene>(
        (name, route): (&'static str, &'static str),
        setup: Setup,
        prepare: impl AsyncFn(&House) -> S + 'static,
        act: impl AsyncFn(&House, &S, usize) -> Answer + 'static,
        holds: impl AsyncFn(&After, &S, &Answer) -> Held + 'static,
    ) -> Self {
        let (prepare, act, holds) = (Rc::new(prepare), Rc::new(act), Rc::new(holds));
        let prepare = move |house: House| {
            let (prepare, act, holds) = (Rc::clone(&prepare), Rc::clone(&act), Rc::clone(&holds));
            async move {
                let scene = Rc::new(prepare(&house).await);
                let (whose, acted) = (scene.whose(), Rc::clone(&scene));
                let act = move |house: House, time: usize| {
                    let (act, scene) = (Rc::clone(&act), Rc::clone(&acted));
                    async move { act(&house, &scene, time).await }.boxed_local()
                };
                let holds = move |after: Rc<After>, answer: Answer| {
                    let (holds, scene) = (Rc::clone(&holds), Rc::clone(&scene));
                    async move { holds(&after, &scene, &answer).await }.boxed_local()
                };
                Prepared {
                    whose,
                    act: Rc::new(act),
                    holds: Rc::new(holds),
                }
            }
            .boxed_local()
        };
        Self {
            name,
            route,
            setup,
            prepare: Rc::new(prepare),
            spent: &[],
            asks_wechat: false,
            is_done: Answer::is_done,
            is_final: false,
        }
    }

    /// A repetition may be answered with these.
    pub(crate) fn spends(self, codes: &'static [&'static str]) -> Self {
        Self {
            spent: codes,
            ..self
        }
    }

    /// It wants the shared access token.
    pub(crate) fn asks_wechat(self) -> Self {
        Self {
            asks_wechat: true,
            ..self
        }
    }

    /// A request that is done is refused by its nature: such an answer says that it was.
    pub(crate) fn done_by(self, is_done: fn(&Answer) -> bool) -> Self {
        Self { is_done, ..self }
    }

    /// Nobody undoes it.
    pub(crate) fn once_and_for_all(self) -> Self {
        Self {
            is_final: true,
            ..self
        }
    }
}
