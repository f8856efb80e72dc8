//! A document somebody wrote, with every mistake at its place. Pure.

use serde::de::DeserializeOwned;
use serde_json::Value;
use shared::policy::{CompiledPolicy, MAX_BYTES, Policy, PolicyError, Route};
use url::Url;

/// The largest request that carries a document: its JSON may be written with more blanks than ours.
pub const MAX_BODY: usize = 2 * MAX_BYTES;
/// The same as a field of a form, with every third byte escaped.
pub const MAX_FORM: usize = 3 * MAX_BODY;
/// What is left of a frame of the feed beside its own fields.
const MAX_ENTRY: usize = MAX_BYTES;

/// A text as JSON: one object, no member twice.
pub fn parse(text: &[u8]) -> Result<Value, PolicyError> {
    if text.len() > MAX_BODY {
        return Err(wrong("document", format!("at most {MAX_BODY} bytes")));
    }
    shared::strict_json::from_slice(text).map_err(|error| wrong("document", format!("not JSON: {error}")))
}

/// A document in its checked form, or everything that is wrong with it. `published`: the scopes that issued keys go by.
pub(super) fn read(
    document: Value,
    resource: &str,
    published: &[String],
) -> Result<CompiledPolicy, Vec<PolicyError>> {
    let policy = shaped(document)?;
    let mut problems = further(&policy, resource, published);
    match policy.compile_all() {
        Ok(policy) if problems.is_empty() => Ok(policy),
        Ok(_) => Err(problems),
        Err(mut first) => {
            first.append(&mut problems);
            Err(first)
        }
    }
}

/// Members, types and texts: each route by itself, so that a mistake in one hides none in another.
fn shaped(mut document: Value) -> Result<Policy, Vec<PolicyError>> {
    let Some(object) = document.as_object_mut() else {
        return Err(vec![wrong("document", "must be one JSON object")]);
    };
    let mut routes = Vec::new();
    if let Some(Value::Array(list)) = object.get_mut("routes") {
        routes = std::mem::take(list);
    }
    let mut problems = Vec::new();
    let policy = member::<Policy>(document, "").map_err(|problem| problems.push(problem));
    let mut read = Vec::with_capacity(routes.len());
    for (number, route) in routes.into_iter().enumerate() {
        match member::<Route>(route, &format!("routes[{number}]")) {
            Ok(route) => read.push(route),
            Err(problem) => problems.push(problem),
        }
    }
    match policy {
        Ok(policy) if problems.is_empty() => Ok(Policy {
            routes: read,
            ..policy
        }),
        _ => Err(problems),
    }
}

/// What only this installation can say.
fn further(policy: &Policy, resource: &str, published: &[String]) -> Vec<PolicyError> {
    let mut problems = Vec::new();
    if policy.resource != resource {
        let problem = format!("must be {resource}, as in the server's configuration");
        problems.push(wrong("resource", problem));
    }
    if let Some(place) = crate::revocation::moved_scope(published, policy.scopes.all()) {
        let was = published.get(place).map_or("", String::as_str);
        let problem = format!(
            "must be `{was}`: keys that were issued hold places in this list, so it only grows at its end"
        );
        problems.push(wrong(&format!("scopes[{place}]"), problem));
    }
    for (number, route) in policy.routes.iter().enumerate() {
        let origin = route.origin.as_deref().filter(|origin| origin.contains("://"));
        let is_base = |url: &Url| url.has_host() && url.query().is_none() && url.fragment().is_none();
        if origin.is_some_and(|origin| !Url::parse(origin).is_ok_and(|url| is_base(&url))) {
            let place = format!("routes[{number}].origin");
            problems.push(wrong(
                &place,
                "must be a URL with a host, without query and fragment",
            ));
        }
    }
    if policy.to_json().len() > MAX_ENTRY {
        problems.push(wrong("document", format!("at most {MAX_ENTRY} bytes")));
    }
    problems
}

fn member<T: DeserializeOwned>(value: Value, prefix: &str) -> Result<T, PolicyError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let place = match (prefix, path.as_str()) {
            ("", ".") => "document".to_owned(),
            ("", path) => path.to_owned(),
            (prefix, ".") => prefix.to_owned(),
            (prefix, path) => format!("{prefix}.{path}"),
        };
        wrong(&place, error.into_inner().to_string())
    })
}

fn wrong(place: &str, problem: impl Into<String>) -> PolicyError {
    PolicyError {
        place: place.to_owned(),
        problem: problem.into(),
    }
}
