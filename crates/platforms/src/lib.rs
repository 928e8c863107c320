//! The exchange of login codes at other platforms than WeChat, each of which is a row of a table.
//!
//! - `alipay`: Alipay's call, which is signed both ways;
//! - `table`: the rows: where a code is sent, how, and how the answer is read;
//! - `client`: the HTTP client, which sends the request of a row;
//! - `answer`: reads an answer as a row says;
//! - `error`: why there is no person.

mod alipay;
mod answer;
mod client;
mod error;
mod table;

pub use client::{Observer, Platforms};
pub use error::{Meaning, PlatformError};
pub use table::{gives_unionids, is_supported};
