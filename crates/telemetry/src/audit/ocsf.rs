//! Writes an event as an object of OCSF 1.8.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use wxmint_ids::{AppId, ClientId, Platform, UserId};

use super::{Activity, Event};

/// The name of this machine or pod at Redis, Kubernetes and in the log.
static HOST: LazyLock<String> = LazyLock::new(|| {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
});
/// Determined once, because each event of a login would call the kernel.
static PROCESS: LazyLock<Members<'static, 2>> = LazyLock::new(|| {
    [
        ("name", Text("wxmint")),
        ("pid", Number(std::process::id().into())),
    ]
});

pub(super) const ACCOUNT_CHANGE: i64 = 3001;
pub(super) const AUTHENTICATION: i64 = 3002;
pub(super) const API_ACTIVITY: i64 = 6003;
pub(super) const PROCESS_ACTIVITY: i64 = 1007;
/// The number of an activity that only `activity_name` identifies.
pub(super) const OTHER: i64 = 99;
const SERVER: i64 = 1;
const PRODUCT: Members<'static, 3> = [
    ("name", Text("wxmint")),
    ("vendor_name", Text("wxmint")),
    ("version", Text(env!("CARGO_PKG_VERSION"))),
];

/// The value of a member. It is serialized into the buffer without a copy, because each login
/// writes an event.
enum Json<'a> {
    Absent,
    Number(i64),
    Text(&'a str),
    Yes,
    Object(&'a [(&'static str, Json<'a>)]),
    List(&'a [Json<'a>]),
}
use Json::{Absent, List, Number, Object, Text, Yes};

impl Json<'_> {
    /// Objects and lists without content are left out.
    fn is_absent(&self) -> bool {
        match self {
            Absent => true,
            Object(members) => members.iter().all(|(_, value)| value.is_absent()),
            List(values) => values.iter().all(Json::is_absent),
            Number(_) | Text(_) | Yes => false,
        }
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Absent => serializer.serialize_unit(),
            Number(number) => serializer.serialize_i64(*number),
            Text(text) => serializer.serialize_str(text),
            Yes => serializer.serialize_bool(true),
            Object(members) => {
                let there = members.iter().filter(|(_, value)| !value.is_absent());
                serializer.collect_map(there.map(|(name, value)| (name, value)))
            }
            List(values) => {
                serializer.collect_seq(values.iter().filter(|value| !value.is_absent()))
            }
        }
    }
}

type Members<'a, const N: usize> = [(&'static str, Json<'a>); N];

fn text(value: Option<&str>) -> Json<'_> {
    value.map_or(Absent, Text)
}

fn milliseconds(time: Option<DateTime<Utc>>) -> Json<'static> {
    time.map_or(Absent, |time| Number(time.timestamp_millis()))
}

/// A user must have an id or a name.
fn user<'a>(id: Option<&'a str>, name: Option<&'a str>) -> Members<'a, 2> {
    [
        ("uid", text(id)),
        ("name", text(name.or(id.is_none().then_some("unknown")))),
    ]
}

impl Event {
    /// Describes the event in a few words for a person.
    fn message(&self) -> String {
        let mut message = match (self.activity, self.what) {
            (_, Some(what)) => format!("reload of {what}"),
            (Activity(API_ACTIVITY, .., operation), None) => format!("request {operation}"),
            (Activity(.., code), None) => code.replace('_', " "),
        };
        match (&self.refused, self.limit) {
            (Some(_), Some(limit)) => message += &format!(" refused by the limit {limit}"),
            (Some(reason), None) => message += &format!(" refused: {reason}"),
            (None, _) => {}
        }
        if let Some(several) = &self.several {
            message += &format!(", {} times", several.count);
        }
        if let Some(note) = &self.note {
            message += &format!(": {note}");
        }
        message
    }

    /// Appends the object and a line break to the line.
    pub(crate) fn end_line(&self, now: DateTime<Utc>, mut line: Vec<u8>) -> Vec<u8> {
        let Activity(class, activity, activity_name, code) = self.activity;
        let only = |wanted: &[i64], value| {
            if wanted.contains(&class) {
                value
            } else {
                Absent
            }
        };
        let user_id = self.user.as_ref().map(UserId::as_str);
        // Without a holder's name, a user changes their own account, or the request's secret is
        // nobody's.
        let own = user_id.filter(|_| class == ACCOUNT_CHANGE && self.by.is_none());
        let by = user(own.or(self.subject.as_deref()), self.by.as_deref());
        let process = || only(&[PROCESS_ACTIVITY], Object(PROCESS.as_slice()));
        let actor = [
            ("user", only(&[ACCOUNT_CHANGE, API_ACTIVITY], Object(&by))),
            ("process", process()),
        ];
        let device = [("hostname", Text(&HOST)), ("type_id", Number(SERVER))];
        let resource = [
            ("type", text(user_id.and(Some("user")))),
            ("uid", text(user_id)),
        ];
        let metadata = [
            ("version", Text("1.8.0")),
            ("product", Object(&PRODUCT)),
            ("event_code", Text(code)),
            ("correlation_uid", text(self.origin.request_id.as_deref())),
        ];
        let written = serde_json::to_writer(
            &mut line,
            &Object(&[
                ("class_uid", Number(class)),
                ("category_uid", Number(class / 1000)),
                ("activity_id", Number(activity)),
                ("activity_name", Text(activity_name)),
                ("type_uid", Number(class * 100 + activity)),
                ("severity_id", Number(self.severity(class))),
                (
                    "time",
                    milliseconds(Some(self.several.map_or(now, |several| several.first))),
                ),
                ("message", Text(&self.message())),
                (
                    "status_id",
                    Number(if self.refused.is_some() { 2 } else { 1 }),
                ),
                ("status_detail", text(self.refused.as_deref())),
                (
                    "count",
                    self.several
                        .map_or(Absent, |several| Number(several.count.into())),
                ),
                (
                    "start_time",
                    milliseconds(self.several.map(|several| several.first)),
                ),
                (
                    "end_time",
                    milliseconds(self.several.map(|several| several.last)),
                ),
                (
                    "user",
                    only(
                        &[AUTHENTICATION, ACCOUNT_CHANGE],
                        Object(&user(user_id, None)),
                    ),
                ),
                ("actor", Object(&actor)),
                (
                    "api",
                    only(&[API_ACTIVITY], Object(&[("operation", Text(code))])),
                ),
                (
                    "resources",
                    only(&[API_ACTIVITY], List(&[Object(&resource)])),
                ),
                ("src_endpoint", Object(&self.source(class))),
                (
                    "service",
                    only(&[AUTHENTICATION], Object(&[("name", Text("wxmint"))])),
                ),
                ("process", process()),
                ("device", only(&[PROCESS_ACTIVITY], Object(&device))),
                ("metadata", Object(&metadata)),
                ("unmapped", Object(&self.unmapped())),
            ]),
        );
        debug_assert!(written.is_ok(), "writing to a Vec does not fail");
        line.push(b'\n');
        line
    }

    fn severity(&self, class: i64) -> i64 {
        match (&self.refused, class) {
            (_, _) if self.activity == Activity::LOSS => 4,
            (None, _) => 1,
            (Some(_), API_ACTIVITY | PROCESS_ACTIVITY) => 3,
            (Some(_), _) => 2,
        }
    }

    /// The source endpoint of the event. A command has no address, so this machine's name takes its
    /// place.
    fn source(&self, class: i64) -> Members<'_, 2> {
        let address = self
            .origin
            .address
            .as_deref()
            .map(|address| address.trim_end_matches("/64"));
        let is_command = address.is_none() && class == API_ACTIVITY;
        [
            ("ip", text(address)),
            ("hostname", if is_command { Text(&HOST) } else { Absent }),
        ]
    }

    fn unmapped(&self) -> Members<'_, 10> {
        [
            ("app", text(self.app.as_ref().map(AppId::as_str))),
            ("platform", text(self.platform.map(Platform::name))),
            ("app_kind", text(self.app_kind)),
            ("client", text(self.client.as_ref().map(ClientId::as_str))),
            ("person", text(self.person.as_deref())),
            ("new_user", if self.new_user { Yes } else { Absent }),
            ("limit", text(self.limit)),
            ("until", milliseconds(self.until)),
            ("trace_id", text(self.origin.trace_id.as_deref())),
            ("what", text(self.what)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Origin;

    fn object(event: &Event) -> serde_json::Value {
        serde_json::from_slice(&event.end_line(DateTime::UNIX_EPOCH, Vec::new())).expect("JSON")
    }

    #[test]
    fn a_refusal_is_as_severe_as_what_was_refused() {
        let severity = |activity, refused: Option<&'static str>| {
            let event = Event {
                refused: refused.map(Into::into),
                ..Event::new(activity, Origin::default())
            };
            object(&event)["severity_id"].as_i64()
        };
        for (activity, refused) in [
            (Activity::LOGIN, 2),
            (Activity::BLOCK, 2),
            (Activity::request("show"), 3),
            (Activity::RELOAD, 3),
        ] {
            assert_eq!(
                [severity(activity, None), severity(activity, Some("x"))],
                [Some(1), Some(refused)],
                "{activity:?}"
            );
        }
        assert_eq!(severity(Activity::LOSS, None), Some(4));
    }

    #[test]
    fn who_acts_is_the_operator_or_the_user_of_the_account_or_unknown() {
        let actor = |activity, by: Option<&str>| {
            let (user, by) = ("u1".parse().ok(), by.map(str::to_owned));
            object(&Event {
                by,
                user,
                ..Event::new(activity, Origin::default())
            })["actor"]["user"]
                .clone()
        };
        let named = |name: &str| serde_json::json!({"name": name});
        assert_eq!(
            actor(Activity::UNBIND, None),
            serde_json::json!({"uid": "u1"})
        );
        assert_eq!(actor(Activity::UNBIND, Some("on-call")), named("on-call"));
        assert_eq!(
            actor(Activity::request("show"), Some("on-call")),
            named("on-call")
        );
        assert_eq!(actor(Activity::request("show"), None), named("unknown"));
    }
}
