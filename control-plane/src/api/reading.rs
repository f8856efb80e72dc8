//! Reads the description as its pages show it: groups, endpoints, tables of parameters and members.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::document;
use crate::authority::calls::{self, By};
use crate::store::orgs::Role;

/// Members of members are shown, those of these are not.
const DEEPEST: usize = 3;
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// All of it.
pub(super) struct Reading {
    pub(super) about: String,
    pub(super) groups: Vec<Group>,
}

/// Endpoints that belong together.
pub(super) struct Group {
    pub(super) name: String,
    pub(super) about: String,
    pub(super) endpoints: Vec<Endpoint>,
}

/// One method of one path.
pub(super) struct Endpoint {
    pub(super) id: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) summary: String,
    pub(super) description: String,
    /// Who may call it, in a word.
    pub(super) by: &'static str,
    pub(super) parameters: Vec<Member>,
    pub(super) body: Vec<Member>,
    pub(super) answers: Vec<Answer>,
    pub(super) refusals: Vec<Refusal>,
    pub(super) example: Option<String>,
}

/// A parameter, or a member of a body.
pub(super) struct Member {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) place: String,
    pub(super) required: bool,
    pub(super) about: String,
}

/// What comes back when all goes well.
pub(super) struct Answer {
    pub(super) status: String,
    pub(super) about: String,
    pub(super) members: Vec<Member>,
}

/// What comes back when it does not.
pub(super) struct Refusal {
    pub(super) status: String,
    pub(super) about: String,
}

static READING: LazyLock<Reading> = LazyLock::new(|| {
    let document = serde_json::to_value(document::document("")).unwrap_or_default();
    read(&document)
});

/// The description, read once.
pub(super) fn all() -> &'static Reading {
    &READING
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn read(document: &Value) -> Reading {
    let group = |tag: &Value| Group {
        name: text(&tag["name"]),
        about: text(&tag["description"]),
        endpoints: endpoints(document, &text(&tag["name"])),
    };
    Reading {
        about: text(&document["info"]["description"]),
        groups: items(&document["tags"]).map(group).collect(),
    }
}

fn endpoints(document: &Value, group: &str) -> Vec<Endpoint> {
    let mut found = Vec::new();
    for (path, item) in members(&document["paths"]) {
        for method in METHODS {
            let operation = &item[method];
            if items(&operation["tags"]).any(|tag| tag == group) {
                found.push(endpoint(document, method, path, operation));
            }
        }
    }
    found
}

fn endpoint(document: &Value, method: &str, path: &str, operation: &Value) -> Endpoint {
    let (mut answers, mut refusals) = (Vec::new(), Vec::new());
    for (status, response) in members(&operation["responses"]) {
        let about = text(&response["description"]);
        if status.starts_with('2') || status.starts_with('3') {
            let schema = content(response);
            answers.push(Answer {
                status: status.clone(),
                about,
                members: schema.map_or_else(Vec::new, |schema| table(document, schema)),
            });
        } else {
            refusals.push(Refusal {
                status: status.clone(),
                about,
            });
        }
    }
    let body = content(&operation["requestBody"]);
    let id = text(&operation["operationId"]);
    Endpoint {
        example: body.map(|schema| {
            let example = example(document, schema, 0);
            serde_json::to_string_pretty(&example).unwrap_or_default()
        }),
        id,
        method: method.to_uppercase(),
        path: path.to_owned(),
        summary: text(&operation["summary"]),
        description: text(&operation["description"]),
        by: by(method, path),
        parameters: items(&operation["parameters"]).map(parameter).collect(),
        body: body.map_or_else(Vec::new, |schema| table(document, schema)),
        answers,
        refusals,
    }
}

/// Who may call it, as the table of calls says.
fn by(method: &str, path: &str) -> &'static str {
    let line = method
        .to_uppercase()
        .parse()
        .ok()
        .and_then(|method| calls::by(&method, path));
    match line {
        Some(By::Admin(act)) => match act.least() {
            Role::Viewer | Role::Member => "an API key or a signed-in person, with the scope admin",
            Role::Admin => "an administrator or an owner, with the scope admin",
            Role::Owner => "an owner, with the scope admin",
        },
        Some(By::Member(_) | By::Holder | By::Bearer) => "the holder of a credential, whatever its scopes",
        Some(By::Edge) => "an edge, with its uplink key",
        Some(By::Sender) => "a sender that signs what it sends",
        Some(By::Anybody) => "anybody",
        None => "nobody",
    }
}

fn content(holder: &Value) -> Option<&Value> {
    let (_, media) = members(&holder["content"]).next()?;
    media.get("schema")
}

fn parameter(parameter: &Value) -> Member {
    Member {
        name: text(&parameter["name"]),
        kind: kind(&parameter["schema"]),
        place: text(&parameter["in"]),
        required: parameter["required"] == true,
        about: text(&parameter["description"]),
    }
}

/// The schema that a reference names, or itself.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let Some(reference) = schema["$ref"].as_str() else {
        return schema;
    };
    let name = reference.rsplit('/').next().unwrap_or_default();
    &document["components"]["schemas"][name]
}

/// The members of a schema, and theirs.
fn table(document: &Value, schema: &Value) -> Vec<Member> {
    let mut rows = Vec::new();
    collect(document, schema, "", 0, &mut rows);
    rows
}

fn collect(document: &Value, schema: &Value, prefix: &str, depth: usize, rows: &mut Vec<Member>) {
    if depth >= DEEPEST {
        return;
    }
    let schema = resolved(document, schema);
    for part in ["allOf", "oneOf", "anyOf"]
        .into_iter()
        .flat_map(|word| items(&schema[word]))
    {
        if part["type"] != "null" {
            collect(document, part, prefix, depth, rows);
        }
    }
    if schema["type"] == "array" {
        let below = format!("{prefix}[]");
        collect(document, &schema["items"], &below, depth, rows);
        return;
    }
    let required: Vec<&str> = items(&schema["required"]).filter_map(Value::as_str).collect();
    for (name, member) in members(&schema["properties"]) {
        let whole = match prefix {
            "" => name.clone(),
            _ => format!("{prefix}.{name}"),
        };
        if rows.iter().any(|row| row.name == whole) {
            continue;
        }
        let target = resolved(document, member);
        let about = [&member["description"], &target["description"]]
            .into_iter()
            .find_map(Value::as_str);
        rows.push(Member {
            kind: kind(&expanded(document, member)),
            place: String::new(),
            required: required.contains(&name.as_str()),
            about: about.unwrap_or_default().to_owned(),
            name: whole.clone(),
        });
        collect(document, member, &whole, depth + 1, rows);
    }
}

/// A schema with its references followed, as far as its kind needs.
fn expanded(document: &Value, schema: &Value) -> Value {
    let schema = resolved(document, schema);
    let mut copy = schema.clone();
    if let Some(list) = schema.get("items") {
        copy["items"] = expanded(document, list);
    }
    for word in ["oneOf", "anyOf"] {
        if schema.get(word).is_some() {
            copy[word] = items(&schema[word])
                .map(|part| resolved(document, part).clone())
                .collect();
        }
    }
    copy
}

/// What a schema admits, in a few words.
fn kind(schema: &Value) -> String {
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
        return words.join(" | ");
    }
    let alternatives: Vec<String> = ["oneOf", "anyOf"]
        .into_iter()
        .flat_map(|word| items(&schema[word]))
        .map(kind)
        .filter(|words| words != "null")
        .collect();
    if !alternatives.is_empty() {
        return alternatives.join(" | ");
    }
    let named = |name: &str| match (name, schema["format"].as_str()) {
        ("array", _) => format!("array of {}", kind(&schema["items"])),
        ("string", Some("date-time")) => "time (RFC 3339)".to_owned(),
        (name, _) => name.to_owned(),
    };
    match &schema["type"] {
        Value::String(name) => named(name),
        Value::Array(names) => {
            let words = names.iter().filter_map(Value::as_str);
            words.map(named).collect::<Vec<_>>().join(" | ")
        }
        _ => "object".to_owned(),
    }
}

/// A body made of the members' own examples.
fn example(document: &Value, schema: &Value, depth: usize) -> Value {
    let schema = resolved(document, schema);
    let own = schema
        .get("example")
        .or_else(|| items(&schema["examples"]).next());
    if let Some(own) = own {
        return own.clone();
    }
    let mut object = Map::new();
    for part in ["allOf", "oneOf", "anyOf"]
        .into_iter()
        .flat_map(|word| items(&schema[word]).take(1))
    {
        if let Value::Object(inner) = example(document, part, depth) {
            object.extend(inner);
        }
    }
    let required: Vec<&str> = items(&schema["required"]).filter_map(Value::as_str).collect();
    for (name, member) in members(&schema["properties"]) {
        let target = resolved(document, member);
        let has_example = member.get("example").is_some() || target.get("example").is_some();
        if depth < DEEPEST && (has_example || required.contains(&name.as_str())) {
            let value = match member.get("example") {
                Some(value) => value.clone(),
                None => example(document, member, depth + 1),
            };
            object.insert(name.clone(), value);
        }
    }
    match schema["type"].as_str() {
        Some("string") => "…".into(),
        Some("integer" | "number") => 0.into(),
        Some("boolean") => false.into(),
        Some("array") => Value::Array(vec![example(document, &schema["items"], depth + 1)]),
        _ => Value::Object(object),
    }
}
