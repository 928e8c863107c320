//! What a server answered.

use std::rc::Rc;

use redis::{FromRedisValue, ServerError, ServerErrorKind, Value, from_redis_value};
use smallvec::smallvec;
use tokio::time::Instant;

use super::{
    super::Result,
    failure::{Failure, Next},
    node::{Commands, Node, Values, Via},
};

/// The answers to some commands, and the server that gave them.
pub(super) struct Answers {
    pub(super) values: Values,
    pub(super) from: Rc<Node>,
}

/// Sends commands to one server once.
pub(super) async fn send(
    node: &Rc<Node>,
    via: Via,
    commands: &Commands<'_>,
    deadline: Instant,
) -> Result<Answers, Failure> {
    Answers::of(node, node.send(via, commands, deadline).await?)
}

/// Sends commands to one server, and again on a new connection if the old one has become useless.
pub(super) async fn send_twice(
    node: &Rc<Node>,
    via: Via,
    commands: &Commands<'_>,
    deadline: Instant,
) -> Result<Answers, Failure> {
    match send(node, via, commands, deadline).await {
        Err(failure) if failure.trouble.next(0, true) == Next::Reconnect => send(node, via, commands, deadline).await,
        outcome => outcome,
    }
}

/// The same to a server that is not the primary of the slot yet.
pub(super) async fn send_asking(
    node: &Rc<Node>,
    commands: &Commands<'_>,
    deadline: Instant,
) -> Result<Answers, Failure> {
    let mut asking = redis::pipe();
    commands.iter().for_each(|command| _ = asking.cmd("ASKING").add_command(command.clone()));
    let values = node.send(Via::Prompt, &Commands::from(&asking), deadline).await?;
    Answers::of(node, values.into_iter().skip(1).step_by(2).collect())
}

impl Answers {
    fn of(from: &Rc<Node>, values: Values) -> Result<Self, Failure> {
        let answers = Self { values, from: Rc::clone(from) };
        answers.failure().map_or(Ok(answers), Err)
    }

    /// The first error that concerns more than its command.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.values.iter().find_map(|value| Failure::of(value, &self.from.address))
    }

    /// Whether the server does not know the script that it was asked for by a command.
    pub(super) fn lack_script(&self, command: usize) -> bool {
        let is_unknown = |error: &ServerError| error.kind() == Some(ServerErrorKind::NoScript);
        matches!(self.values.get(command), Some(Value::ServerError(error)) if is_unknown(error))
    }

    /// The answer to a command is what the same command was answered when it was sent alone.
    pub(super) fn replace(&mut self, command: usize, alone: Self) {
        self.values[command] = alone.values.into_iter().next().unwrap_or(Value::Nil);
    }

    /// The answer to the first command.
    pub(super) fn only<T: FromRedisValue>(self) -> Result<T, Failure> {
        let address = &self.from.address;
        let value = self.values.into_iter().next().unwrap_or(Value::Nil);
        let read = value.extract_error().and_then(|value| Ok(from_redis_value(value)?));
        read.map_err(|error| Failure::from_error(&error, address))
    }

    /// The answers to all commands.
    pub(super) fn all<T: FromRedisValue>(self) -> Result<T, Failure> {
        Self { values: smallvec![Value::Array(self.values.into_vec())], from: self.from }.only()
    }
}
