//! The description of the API (OpenAPI 3.1).
//!
//! The paths, their parameters, bodies and answers come from the handlers themselves. What is the
//! same everywhere is said here once: the refusals, and who may ask.

use serde_json::{Map, Value, json};

use super::routes;

const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];

/// Refusals that many paths have, and their names in the document.
const REFUSALS: [(&str, &str, &str); 9] = [
    (
        "400",
        "Invalid",
        "What was asked is not understood, or cannot be.",
    ),
    (
        "401",
        "NoToken",
        "The token is missing or wrong (TCP only).",
    ),
    (
        "403",
        "Forbidden",
        "It is not allowed: to this caller, or with this key.",
    ),
    ("404", "NotFound", "There is no such thing."),
    ("408", "TooSlow", "The body took too long."),
    ("409", "Conflict", "It cannot be done as things are now."),
    ("413", "TooLong", "The body is too long."),
    ("415", "NotJson", "The body is not application/json."),
    ("500", "Failed", "The system or the vault failed."),
];

/// The whole document.
pub(super) fn document() -> Value {
    // What utoipa makes can all be written.
    let mut document = serde_json::to_value(routes::description()).unwrap_or_default();
    let info = json!({
        "title": "roamkey",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "The control plane of a running roamkey. On the Unix socket the system \
            says who asks; over TCP the token does. Web pages are refused.",
        "license": { "name": env!("CARGO_PKG_LICENSE"), "identifier": env!("CARGO_PKG_LICENSE") },
    });
    put(&mut document, "", "info", info);
    put(&mut document, "", "security", json!([{ "token": [] }]));
    let schemes = json!({ "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "What is in the token file; not needed on the Unix socket.",
    }});
    let responses = REFUSALS.map(|(_, name, description)| {
        let schema = json!({ "$ref": "#/components/schemas/Problem" });
        let content = json!({ "application/problem+json": { "schema": schema } });
        let refusal = json!({ "description": description, "content": content });
        (name.to_owned(), refusal)
    });
    put(&mut document, "/components", "securitySchemes", schemes);
    let responses = Value::Object(responses.into_iter().collect());
    put(&mut document, "/components", "responses", responses);
    let paths = document.pointer_mut("/paths");
    let paths = paths.and_then(Value::as_object_mut);
    for (path, item) in paths.into_iter().flatten() {
        for method in METHODS {
            if let Some(operation) = item.get_mut(method).and_then(Value::as_object_mut) {
                describe_refusals(path, method, operation);
            }
        }
    }
    bound_integers(&mut document);
    document
}

/// Puts a member into the object at this place, which utoipa made.
fn put(document: &mut Value, place: &str, name: &str, value: Value) {
    let object = document.pointer_mut(place).and_then(Value::as_object_mut);
    if let Some(object) = object {
        object.insert(name.to_owned(), value);
    }
}

/// Integers end where those of Rust do: OpenAPI has no formats for unsigned ones.
fn bound_integers(value: &mut Value) {
    match value {
        Value::Object(members) => {
            let most = match members.get("format").and_then(Value::as_str) {
                Some("u-int8") => Some(u64::from(u8::MAX)),
                Some("u-int16") => Some(u64::from(u16::MAX)),
                Some("u-int32") => Some(u64::from(u32::MAX)),
                Some("u-int64") => Some(u64::MAX),
                Some(_) | None => None,
            };
            if let Some(most) = most {
                members.remove("format");
                members.entry("maximum").or_insert(most.into());
            }
            members.values_mut().for_each(bound_integers);
        }
        Value::Array(values) => values.iter_mut().for_each(bound_integers),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn describe_refusals(path: &str, method: &str, operation: &mut Map<String, Value>) {
    let names_a_thing = path.contains('{');
    let has_body = operation.contains_key("requestBody");
    let parameters = operation.get("parameters").and_then(Value::as_array);
    let parameters = parameters.into_iter().flatten();
    let mut queries = parameters.filter(|parameter| parameter["in"] == "query");
    let names_in_query = queries.clone().any(|parameter| parameter["name"] == "key");
    let has_query = queries.next().is_some();
    let changes = method != "get" || path.starts_with("/v1/vault");
    let applies = |status: &str| match status {
        "400" => names_a_thing || has_query || has_body,
        "404" => names_a_thing || names_in_query || path == "/v1/expect",
        "408" | "413" | "415" => has_body,
        "409" => changes,
        _ => true,
    };
    let Some(responses) = operation
        .get_mut("responses")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    for (status, name, _) in REFUSALS.into_iter().filter(|(status, ..)| applies(status)) {
        let refusal = json!({ "$ref": format!("#/components/responses/{name}") });
        responses.entry(status).or_insert(refusal);
    }
}
