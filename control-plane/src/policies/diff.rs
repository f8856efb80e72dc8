//! What a draft changes, route by route. Pure.
//!
//! Two routes are the same one if pattern and methods are equal, or else the pattern alone. One that is the same and stands in
//! another order has moved: the first match wins, so that may matter as much as any other change.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Serialize;
use serde_json::{Map, Value};
use shared::policy::{Policy, Route};

/// What happened to a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteChangeKind {
    /// It is new.
    Added,
    /// It says something else, and may have moved.
    Changed,
    /// It says the same at another place.
    Moved,
    /// It is gone.
    Removed,
}

/// A member that has another value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberChange {
    /// Its name.
    pub member: String,
    /// What it was; null: it was not there.
    pub from: Value,
    /// What it is; null: it is not there any more.
    pub to: Value,
}

/// A route that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouteChange {
    /// What happened to it.
    pub change: RouteChangeKind,
    /// Its number in the policy in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub was: Option<usize>,
    /// Its number in the draft.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is: Option<usize>,
    /// The route on one line, as it is, or as it was.
    pub route: String,
    /// What of it changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberChange>,
}

/// A setting beside the routes, such as `presets.read`.
pub type SettingChange = MemberChange;

/// Everything that a draft changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Routes: those of the draft in its order, then what is gone.
    pub routes: Vec<RouteChange>,
    /// The rest.
    pub settings: Vec<SettingChange>,
}

impl Changes {
    /// Whether the two say the same.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty() && self.settings.is_empty()
    }
}

/// What is different.
pub(super) fn between(old: &Policy, new: &Policy) -> Changes {
    let pairs = pairs(old, new);
    let stays = stays(&pairs);
    let mut changes = Changes {
        routes: Vec::new(),
        settings: settings(old, new),
    };
    for (is, route) in new.routes.iter().enumerate() {
        let was = pairs.get(&is).copied();
        let before = was.and_then(|was| old.routes.get(was));
        let members = before
            .map(|before| members(&object(before), &object(route)))
            .unwrap_or_default();
        let change = match before {
            None => RouteChangeKind::Added,
            Some(_) if !members.is_empty() => RouteChangeKind::Changed,
            Some(_) if !stays.contains(&is) => RouteChangeKind::Moved,
            Some(_) => continue,
        };
        changes.routes.push(RouteChange {
            change,
            was,
            is: Some(is),
            route: crate::revocation::policy_rule(route),
            members,
        });
    }
    let kept: BTreeSet<usize> = pairs.values().copied().collect();
    let gone = old
        .routes
        .iter()
        .enumerate()
        .filter(|(was, _)| !kept.contains(was));
    changes.routes.extend(gone.map(|(was, route)| RouteChange {
        change: RouteChangeKind::Removed,
        was: Some(was),
        is: None,
        route: crate::revocation::policy_rule(route),
        members: Vec::new(),
    }));
    changes
}

/// Which route of the draft was which: the new number, and the old one.
pub(super) fn pairs(old: &Policy, new: &Policy) -> BTreeMap<usize, usize> {
    let exact = |route: &Route| -> (String, Vec<String>) {
        let mut methods = route.methods.clone();
        methods.sort_unstable();
        methods.dedup();
        (route.path.clone(), methods)
    };
    let mut found = BTreeMap::new();
    let mut taken = BTreeSet::new();
    let mut free: BTreeMap<_, VecDeque<usize>> = BTreeMap::new();
    for (was, route) in old.routes.iter().enumerate() {
        free.entry(exact(route)).or_default().push_back(was);
    }
    for (is, route) in new.routes.iter().enumerate() {
        if let Some(was) = free.get_mut(&exact(route)).and_then(VecDeque::pop_front) {
            found.insert(is, was);
            taken.insert(was);
        }
    }
    let mut free: BTreeMap<&str, VecDeque<usize>> = BTreeMap::new();
    for (was, route) in old.routes.iter().enumerate() {
        if !taken.contains(&was) {
            free.entry(&route.path).or_default().push_back(was);
        }
    }
    for (is, route) in new.routes.iter().enumerate() {
        if !found.contains_key(&is)
            && let Some(was) = free.get_mut(route.path.as_str()).and_then(VecDeque::pop_front)
        {
            found.insert(is, was);
        }
    }
    found
}

/// The most routes that can be said to have stayed where they were: the longest ascending run of old numbers.
fn stays(pairs: &BTreeMap<usize, usize>) -> BTreeSet<usize> {
    let pairs: Vec<(usize, usize)> = pairs.iter().map(|(is, was)| (*is, *was)).collect();
    // Per length of a run, the pair with the lowest old number that ends one, by its place in `pairs`.
    let mut ends: Vec<(usize, usize)> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(pairs.len());
    for (place, (_, was)) in pairs.iter().enumerate() {
        let length = ends.partition_point(|(_, end)| end < was);
        let previous = length.checked_sub(1).and_then(|shorter| ends.get(shorter));
        before.push(previous.map(|(place, _)| *place));
        match ends.get_mut(length) {
            Some(end) => *end = (place, *was),
            None => ends.push((place, *was)),
        }
    }
    let mut stays = BTreeSet::new();
    let mut at = ends.last().map(|(place, _)| *place);
    while let Some(place) = at {
        stays.extend(pairs.get(place).map(|(is, _)| *is));
        at = before.get(place).copied().flatten();
    }
    stays
}

fn settings(old: &Policy, new: &Policy) -> Vec<SettingChange> {
    let flat = |policy: &Policy| {
        let bare = Policy {
            routes: Vec::new(),
            ..policy.clone()
        };
        let mut flat = Map::new();
        for (name, value) in object(&bare) {
            match value {
                Value::Object(inner) if matches!(name.as_str(), "presets" | "limits") => {
                    flat.extend(
                        inner
                            .into_iter()
                            .map(|(part, value)| (format!("{name}.{part}"), value)),
                    );
                }
                value => drop(flat.insert(name, value)),
            }
        }
        flat
    };
    members(&flat(old), &flat(new))
}

fn members(old: &Map<String, Value>, new: &Map<String, Value>) -> Vec<MemberChange> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let value = |of: &Map<String, Value>, name: &String| of.get(name).cloned().unwrap_or_default();
    names
        .into_iter()
        .map(|name| MemberChange {
            member: name.clone(),
            from: value(old, name),
            to: value(new, name),
        })
        .filter(|change| change.from != change.to)
        .collect()
}

fn object(value: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(value) {
        Ok(Value::Object(object)) => object,
        _ => Map::new(),
    }
}
