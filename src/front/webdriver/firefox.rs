//! Firefox's preferences in a session's capabilities: keys on USB in place of its own virtual
//! authenticators.

use serde_json::Value;

const USB: &str = "security.webauth.webauthn_enable_usbtoken";
const VIRTUAL: &str = "security.webauth.webauthn_enable_softtoken";

/// The capabilities with keys on USB, where they choose something else.
pub(super) fn with_keys(body: &[u8]) -> Option<String> {
    // Most name neither, and pass as they are.
    let text = std::str::from_utf8(body).ok()?;
    if !text.contains(USB) && !text.contains(VIRTUAL) {
        return None;
    }
    let mut capabilities: Value = serde_json::from_str(text).ok()?;
    let mut changed = false;
    each_preferences(&mut capabilities, &mut |preferences| {
        for (name, wanted) in [(USB, true), (VIRTUAL, false)] {
            if let Some(value) = preferences.get_mut(name)
                && *value != wanted
            {
                *value = wanted.into();
                changed = true;
            }
        }
    });
    changed.then(|| capabilities.to_string())
}

type Members = serde_json::Map<String, Value>;

/// `prefs` of every `moz:firefoxOptions`, wherever capabilities have them.
fn each_preferences(value: &mut Value, change: &mut dyn FnMut(&mut Members)) {
    if let Some(list) = value.as_array_mut() {
        for value in list {
            each_preferences(value, change);
        }
    } else if let Some(members) = value.as_object_mut() {
        for (name, value) in members {
            let preferences = match name.as_str() {
                "moz:firefoxOptions" => value.get_mut("prefs").and_then(Value::as_object_mut),
                _ => None,
            };
            match preferences {
                Some(preferences) => change(preferences),
                None => each_preferences(value, change),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capabilities(preferences: &str) -> String {
        format!(
            r#"{{"capabilities":{{"alwaysMatch":{{"moz:firefoxOptions":{{"prefs":{preferences}}}}},"firstMatch":[{{}}]}}}}"#
        )
    }

    #[test]
    fn preferences_name_keys_and_the_rest_stays() {
        let own = format!(r#"{{"a":1,"{VIRTUAL}":true,"{USB}":false}}"#);
        let changed = with_keys(capabilities(&own).as_bytes()).expect("a change");
        let keys = format!(r#"{{"a":1,"{VIRTUAL}":false,"{USB}":true}}"#);
        let read = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        assert_eq!(read(&changed), read(&capabilities(&keys)));
        for unchanged in [keys.as_str(), "{}", r#"{"other":true}"#] {
            assert_eq!(with_keys(capabilities(unchanged).as_bytes()), None);
        }
        assert_eq!(
            with_keys(b"no JSON, security.webauth.webauthn_enable_usbtoken"),
            None
        );
    }
}
