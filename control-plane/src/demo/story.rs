//! Who is in the demo, which keys they have, and how these are used. Data only.

use shared::key::Environment;

use crate::keys::Reason;
use crate::store::orgs::Role;

/// Address, name, role. The domain is reserved (RFC 2606): no mail goes there.
pub(super) const PEOPLE: [(&str, &str, Role); 6] = [
    ("mara.lindt@acme.example", "Mara Lindt", Role::Admin),
    ("jonas.weber@acme.example", "Jonas Weber", Role::Admin),
    ("aiko.tanaka@acme.example", "Aiko Tanaka", Role::Member),
    ("samuel.osei@acme.example", "Samuel Osei", Role::Member),
    ("lucia.romero@acme.example", "Lucía Romero", Role::Member),
    ("priya.nair@acme.example", "Priya Nair", Role::Viewer),
];

/// Programs: name and role.
pub(super) const PROGRAMS: [(&str, Role); 3] = [
    ("ci-deploy", Role::Member),
    ("nightly-export", Role::Viewer),
    ("support-bot", Role::Member),
];

pub(super) const WORKSPACES: [&str; 3] = ["Assistants", "Billing", "Warehouse robots"];

/// A key, and how it is used.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    /// Index into [`PEOPLE`].
    pub(super) owner: usize,
    /// Index into [`WORKSPACES`].
    pub(super) workspace: Option<usize>,
    pub(super) environment: Environment,
    pub(super) preset: &'static str,
    pub(super) age_days: u64,
    pub(super) ends_in_days: Option<u64>,
    pub(super) replaces: Option<&'static str>,
    pub(super) revoked: Option<Reason>,
    /// In a busy hour.
    pub(super) requests: u64,
    /// Of a thousand requests.
    pub(super) refused: u64,
    pub(super) class: &'static str,
    /// Country and data centre; the first has most.
    pub(super) places: &'static [(&'static str, &'static str)],
    /// People work in the day; programs do not care.
    pub(super) sleeps: bool,
}

const PLAIN: Key = Key {
    name: "",
    owner: 0,
    workspace: None,
    environment: Environment::Live,
    preset: "read",
    age_days: 45,
    ends_in_days: Some(120),
    replaces: None,
    revoked: None,
    requests: 0,
    refused: 4,
    class: "default",
    places: &[("DE", "FRA")],
    sleeps: true,
};

pub(super) static KEYS: [Key; 12] = [
    Key {
        name: "assistant-backend",
        owner: 2,
        workspace: Some(0),
        preset: "read-write",
        requests: 420,
        places: &[("DE", "FRA"), ("US", "IAD"), ("JP", "NRT")],
        ..PLAIN
    },
    Key {
        name: "mobile-app",
        owner: 4,
        requests: 310,
        refused: 21,
        places: &[("US", "IAD"), ("GB", "LHR"), ("BR", "GRU")],
        ..PLAIN
    },
    Key {
        name: "billing-export",
        owner: 3,
        workspace: Some(1),
        requests: 24,
        refused: 0,
        sleeps: false,
        ends_in_days: Some(9),
        ..PLAIN
    },
    Key {
        name: "grafana",
        owner: 1,
        requests: 60,
        refused: 0,
        sleeps: false,
        places: &[("DE", "FRA")],
        ..PLAIN
    },
    Key {
        name: "robot-telemetry",
        owner: 2,
        workspace: Some(2),
        preset: "read-write",
        requests: 180,
        refused: 9,
        sleeps: false,
        places: &[("NL", "AMS"), ("PL", "WAW")],
        ..PLAIN
    },
    Key {
        name: "ci-deploy",
        owner: 1,
        preset: "read-write",
        age_days: 200,
        ends_in_days: Some(165),
        requests: 9,
        places: &[("US", "IAD")],
        ..PLAIN
    },
    Key {
        name: "ci-deploy (2026-11)",
        owner: 1,
        preset: "read-write",
        age_days: 4,
        ends_in_days: Some(361),
        replaces: Some("ci-deploy"),
        requests: 14,
        places: &[("US", "IAD")],
        ..PLAIN
    },
    Key {
        name: "partner-sandbox",
        owner: 4,
        environment: Environment::Test,
        requests: 12,
        refused: 160,
        places: &[("IN", "BOM")],
        ..PLAIN
    },
    Key {
        name: "notebook Lucía",
        owner: 4,
        environment: Environment::Dev,
        requests: 3,
        refused: 40,
        age_days: 12,
        ends_in_days: Some(3),
        ..PLAIN
    },
    Key {
        name: "old CRM sync",
        owner: 3,
        age_days: 400,
        ends_in_days: None,
        requests: 0,
        ..PLAIN
    },
    Key {
        name: "zapier",
        owner: 0,
        age_days: 90,
        requests: 30,
        refused: 600,
        revoked: Some(Reason::KeyCompromise),
        class: "strict",
        places: &[("RU", "DME"), ("DE", "FRA")],
        ..PLAIN
    },
    Key {
        name: "admin console",
        owner: 0,
        preset: "admin",
        requests: 2,
        refused: 0,
        class: "strict",
        ends_in_days: Some(28),
        ..PLAIN
    },
];
