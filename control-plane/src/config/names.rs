//! The name of every key, once: what may stand in the file and which variable overrides it.
//!
//! `tests.rs` compares this list with the structs, so a key that is missing here fails there.

/// How the text of a variable becomes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Integer,
    Bool,
    /// Comma-separated.
    List,
    /// `name=url,name=pull,name@group=url`: edges.
    Edges,
    /// `name=org+org`: edge groups.
    Groups,
    /// `name=url,name=url`: tables with these two keys.
    Pairs(&'static str, &'static str),
}

/// A key's path and kind.
pub(super) const KEYS: &[(&str, Kind)] = &[
    ("listen", Kind::Text),
    ("metrics_listen", Kind::Text),
    ("issuer", Kind::Text),
    ("resource", Kind::Text),
    ("database_url", Kind::Text),
    ("master_key", Kind::Text),
    ("master_key_file", Kind::Text),
    ("incarnation_file", Kind::Text),
    ("brand", Kind::Text),
    ("environments", Kind::List),
    ("dev", Kind::Bool),
    ("policy_file", Kind::Text),
    ("log_format", Kind::Text),
    ("log_filter", Kind::Text),
    ("bootstrap_file", Kind::Text),
    ("bootstrap_email", Kind::Text),
    ("edges", Kind::Edges),
    ("edge_groups", Kind::Groups),
    ("identity_providers", Kind::Pairs("org", "issuer")),
    ("signal_transmitters", Kind::Pairs("org", "issuer")),
    ("tokens.access_seconds", Kind::Integer),
    ("tokens.refresh_idle_seconds", Kind::Integer),
    ("tokens.refresh_max_seconds", Kind::Integer),
    ("keys.rotation_overlap_seconds", Kind::Integer),
    ("keys.self_rotations_per_hour", Kind::Integer),
    ("feed.heartbeat_ms", Kind::Integer),
    ("feed.receipt_wait_ms", Kind::Integer),
    ("feed.colo_ttl_ms", Kind::Integer),
    ("feed.contact_alert_ms", Kind::Integer),
    ("canary.enabled", Kind::Bool),
    ("canary.interval_seconds", Kind::Integer),
    ("limits.request_seconds", Kind::Integer),
    ("sessions.idle_seconds", Kind::Integer),
    ("sessions.max_seconds", Kind::Integer),
    ("sign_in.window_seconds", Kind::Integer),
    ("sign_in.failures_per_account", Kind::Integer),
    ("sign_in.failures_per_address", Kind::Integer),
    ("sign_in.successes_per_account", Kind::Integer),
    ("sign_in.address_header", Kind::Text),
    ("device.code_seconds", Kind::Integer),
    ("device.interval_seconds", Kind::Integer),
    ("device.guesses_per_user", Kind::Integer),
    ("device.guesses_per_address", Kind::Integer),
    ("sign_up.enabled", Kind::Bool),
    ("mail.smtp_host", Kind::Text),
    ("mail.smtp_port", Kind::Integer),
    ("mail.smtp_tls", Kind::Text),
    ("mail.smtp_user", Kind::Text),
    ("mail.smtp_password", Kind::Text),
    ("mail.from", Kind::Text),
    ("mail.window_seconds", Kind::Integer),
    ("mail.requests_per_account", Kind::Integer),
    ("mail.requests_per_address", Kind::Integer),
    ("mail.invitations_per_org", Kind::Integer),
    ("rate_limits.requests_per_address", Kind::Integer),
    ("rate_limits.requests_per_client", Kind::Integer),
    ("rate_limits.calls_per_credential", Kind::Integer),
    ("rate_limits.failures_per_client", Kind::Integer),
    ("rate_limits.failures_per_address", Kind::Integer),
    ("factors.window_seconds", Kind::Integer),
    ("factors.failures_per_account", Kind::Integer),
    ("factors.failures_per_address", Kind::Integer),
    ("factors.recent_seconds", Kind::Integer),
    ("clients.metadata_documents", Kind::Bool),
    ("clients.metadata_document_hosts", Kind::List),
    ("clients.registration", Kind::Bool),
    ("clients.redirect_hosts", Kind::List),
    ("clients.open_scopes", Kind::List),
    ("clients.default_scopes", Kind::List),
    ("clients.registrations_per_hour", Kind::Integer),
    ("clients.look_ups_per_hour", Kind::Integer),
    ("fetch.allow_loopback", Kind::Bool),
    ("leaks.enabled", Kind::Bool),
    ("leaks.keys_url", Kind::Text),
    ("leaks.action", Kind::Text),
    ("issuers.refresh_least_seconds", Kind::Integer),
    ("issuers.refresh_most_seconds", Kind::Integer),
    ("issuers.stale_seconds", Kind::Integer),
    ("issuers.cool_down_seconds", Kind::Integer),
    ("status_lists.ttl_seconds", Kind::Integer),
    ("status_lists.expires_seconds", Kind::Integer),
    ("usage.retention_days", Kind::Integer),
    ("retention.address_days", Kind::Integer),
    ("retention.detail_days", Kind::Integer),
    ("usage.lost_after_seconds", Kind::Integer),
];

/// Variables of the command line's client side, of `dev.env` and of the scripts: ours, but not configuration of the server.
pub(super) const OTHER_VARIABLES: &[&str] = &[
    "PORTCULLIS_ADMIN_EMAIL",
    "PORTCULLIS_ADMIN_KEY",
    "PORTCULLIS_ADMIN_PASSWORD",
    "PORTCULLIS_CHROMIUM",
    "PORTCULLIS_CONFIG",
    "PORTCULLIS_DEMO_KEY",
    "PORTCULLIS_EDGE_URL",
    "PORTCULLIS_NGINX",
    "PORTCULLIS_OUTPUT",
    "PORTCULLIS_PROFILE",
    "PORTCULLIS_STATE",
    "PORTCULLIS_TOOLS",
    "PORTCULLIS_URL",
];

/// The variable that overrides a key.
pub(super) fn variable(path: &str) -> String {
    format!("PORTCULLIS_{}", path.replace('.', "_").to_uppercase())
}

/// The candidate that was most likely meant, if any is near enough to be worth naming.
pub(super) fn nearest<'a>(unknown: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(unknown, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
