//! Who is in the demo, which keys they have, and how these are used. Data only.

use shared::key::Environment;

use crate::keys::Reason;
use crate::store::clients::{ApplicationType, ClientKind};
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

/// How an app is known here.
pub(super) enum Known {
    /// An administrator registered it.
    Registered,
    /// It is its own document at this address, which is never fetched.
    ByDocument(&'static str),
}

/// An app.
pub(super) struct App {
    pub(super) name: &'static str,
    pub(super) known: Known,
    pub(super) kind: ClientKind,
    pub(super) application_type: ApplicationType,
    pub(super) redirect_uris: &'static [&'static str],
    pub(super) preset: &'static str,
    pub(super) device_flow: bool,
    pub(super) age_days: u64,
}

const PLAIN_APP: App = App {
    name: "",
    known: Known::Registered,
    kind: ClientKind::Public,
    application_type: ApplicationType::Web,
    redirect_uris: &[],
    preset: "read",
    device_flow: false,
    age_days: 0,
};

pub(super) static APPS: [App; 6] = [
    App {
        name: "Acme Portal",
        kind: ClientKind::Confidential,
        redirect_uris: &["https://portal.acme.example/signed-in"],
        preset: "read-write",
        age_days: 210,
        ..PLAIN_APP
    },
    App {
        name: "Acme Mobile",
        application_type: ApplicationType::Native,
        redirect_uris: &["com.example.acme:/signed-in"],
        preset: "read-write",
        age_days: 160,
        ..PLAIN_APP
    },
    App {
        name: "Support Desk",
        redirect_uris: &["https://desk.acme.example/oauth/return"],
        age_days: 75,
        ..PLAIN_APP
    },
    App {
        name: "Acme CLI",
        application_type: ApplicationType::Native,
        redirect_uris: &["http://127.0.0.1/return"],
        preset: "read-write",
        device_flow: true,
        age_days: 44,
        ..PLAIN_APP
    },
    App {
        name: "Nightly reconciliation",
        kind: ClientKind::Confidential,
        age_days: 130,
        ..PLAIN_APP
    },
    App {
        name: "Notebook Assistant",
        known: Known::ByDocument("https://notebook-assistant.example/oauth/client.json"),
        application_type: ApplicationType::Native,
        redirect_uris: &["http://127.0.0.1/callback"],
        age_days: 19,
        ..PLAIN_APP
    },
];

/// Index into [`APPS`], index into [`PEOPLE`], preset, days since, hours since it acted last.
pub(super) const GRANTS: [(usize, usize, &str, u64, u64); 11] = [
    (0, 0, "read-write", 28, 3),
    (0, 1, "read-write", 26, 1),
    (0, 2, "read-write", 21, 30),
    (0, 5, "read", 9, 50),
    (1, 2, "read-write", 24, 2),
    (1, 4, "read-write", 18, 5),
    (2, 3, "read", 15, 7),
    (2, 4, "read", 12, 100),
    (3, 1, "read-write", 6, 22),
    (5, 2, "read", 11, 4),
    (5, 4, "read", 2, 12),
];

/// Address, role, index into [`PEOPLE`] of whoever asks them in, hours since.
pub(super) const INVITED: [(&str, Role, usize, u64); 3] = [
    ("noor.haddad@acme.example", Role::Member, 0, 5),
    ("tomas.varga@acme.example", Role::Viewer, 0, 52),
    ("audit@north-partners.example", Role::Viewer, 1, 121),
];

/// Somebody who was told of changes.
pub(super) struct Told {
    pub(super) url: &'static str,
    pub(super) description: &'static str,
    pub(super) events: &'static [&'static str],
    /// Of its messages.
    pub(super) event: &'static str,
    /// What it answered, or why it did not.
    pub(super) answer: Result<u64, &'static str>,
    pub(super) age_days: u64,
    /// Why it is switched off.
    pub(super) off: &'static str,
    pub(super) off_hours: u64,
    /// Hours since each message.
    pub(super) messages: &'static [u64],
}

pub(super) static TOLD: [Told; 2] = [
    Told {
        url: "https://siem.acme.example/hooks/portcullis",
        description: "Security monitoring",
        events: &["key.*", "user.*", "edge.*"],
        event: "key.created",
        answer: Ok(204),
        age_days: 60,
        off: "by_admin",
        off_hours: 20,
        messages: &[21, 27, 45, 46, 70],
    },
    Told {
        url: "https://chat.acme.example/incoming/gate",
        description: "Channel #gate",
        events: &["key.expiring", "key.leaked"],
        event: "key.expiring",
        answer: Err("the name could not be resolved"),
        age_days: 7,
        off: "failing",
        off_hours: 28,
        messages: &[52, 54],
    },
];
