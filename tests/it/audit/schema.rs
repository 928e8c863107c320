//! Checks events against what OCSF 1.8.0 demands of their classes. The fixture is reduced from OCSF's own schema, whose
//! licence is Apache-2.0: an attribute that is not in it is one that wxmint has not written before: look it up there.

use serde_json::{Map, Value};

pub(super) struct Schema(Value);

impl Schema {
    pub(super) fn of_fixture() -> Self {
        Self(serde_json::from_str(include_str!("ocsf-1.8.0.json")).expect("JSON"))
    }

    /// Checks the event, and returns wxmint's name for it.
    pub(super) fn check<'a>(&self, event: &'a Value) -> &'a str {
        let number = |name: &str| {
            event[name]
                .as_i64()
                .unwrap_or_else(|| panic!("{name}: {event}"))
        };
        let class = &self.0["classes"][number("class_uid").to_string()];
        assert!(class.is_object(), "no such class: {event}");
        assert_eq!(number("category_uid"), class["category_uid"], "{event}");
        assert_eq!(
            number("type_uid"),
            number("class_uid") * 100 + number("activity_id"),
            "{event}"
        );
        let is_named = event["activity_name"]
            .as_str()
            .is_some_and(|name| !name.is_empty());
        assert!(number("activity_id") != 99 || is_named, "{event}");
        let ids = ["class_uid", "category_uid", "type_uid"];
        let rest = event
            .as_object()
            .expect("an object")
            .iter()
            .filter(|(name, _)| !ids.contains(&name.as_str()));
        self.check_object(
            class,
            &rest
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            event,
        );
        event["metadata"]["event_code"].as_str().expect("a name")
    }

    fn check_object(&self, kind: &Value, members: &Map<String, Value>, event: &Value) {
        let attributes = kind["attributes"].as_object().expect("attributes");
        for (name, attribute) in attributes
            .iter()
            .filter(|(_, attribute)| attribute["required"] == true)
        {
            assert!(
                members.contains_key(name),
                "{name} {attribute} is missing: {event}"
            );
        }
        let needed = kind["at_least_one"].as_array().expect("names");
        let has_one = needed
            .iter()
            .any(|name| members.contains_key(name.as_str().expect("a name")));
        assert!(
            needed.is_empty() || has_one,
            "one of {needed:?} is missing: {event}"
        );
        for (name, value) in members {
            let attribute = attributes
                .get(name)
                .unwrap_or_else(|| panic!("{name} is not in the fixture: {event}"));
            let values = if attribute["array"] == true {
                value.as_array().expect("a list")
            } else {
                &vec![value.clone()]
            };
            for value in values {
                self.check_value(attribute, value, event);
            }
        }
    }

    fn check_value(&self, attribute: &Value, value: &Value, event: &Value) {
        let is_right = match attribute["type"].as_str().expect("a type") {
            "string_t" => value.as_str().is_some_and(|text| !text.is_empty()),
            "integer_t" => value
                .as_i64()
                .is_some_and(|number| i32::try_from(number).is_ok()),
            "long_t" => value.is_i64(),
            "object" => value.is_object(),
            object => {
                return self.check_object(
                    &self.0["objects"][object],
                    value.as_object().expect("an object"),
                    event,
                );
            }
        };
        assert!(is_right, "{value} is not {attribute}: {event}");
        let allowed = attribute["enum"].as_array();
        assert!(
            allowed.is_none_or(|allowed| allowed.contains(value)),
            "{value} is not {attribute}: {event}"
        );
    }
}
