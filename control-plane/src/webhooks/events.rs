//! Which row of the audit trail is which event. No feature has to know of webhooks: it records what it does, and this table says
//! who hears of it.

/// Action, what its target begins with, event. The first that fits counts.
const EVENTS: [(&str, &str, &str); 36] = [
    ("api_key.create", "", "key.created"),
    ("api_key.rename", "", "key.renamed"),
    ("api_key.rotate", "", "key.rotated"),
    ("api_key.revoke", "", "key.revoked"),
    ("api_key.self_revoke", "", "key.revoked"),
    ("api_key.quarantine", "", "key.quarantined"),
    ("api_key.release", "", "key.released"),
    ("api_key.expiring", "", "key.expiring"),
    ("signal.leak", "key_", "key.leaked"),
    ("signal.leak", "grt_", "grant.leaked"),
    // Many at once: the detail says which.
    ("credentials.revoke", "", "key.bulk_revoked"),
    ("org.revoke", "", "key.bulk_revoked"),
    ("client.revoke", "", "grant.bulk_revoked"),
    ("session.revoke", "", "grant.bulk_revoked"),
    ("issuer.revoke", "", "grant.bulk_revoked"),
    ("grant.create", "", "grant.created"),
    ("grant.revoke", "", "grant.revoked"),
    ("grant.self_revoke", "", "grant.revoked"),
    ("consent.give", "", "grant.consented"),
    ("invitation.create", "", "user.invited"),
    ("invitation.accept", "", "user.joined"),
    ("user.create", "", "user.created"),
    ("user.change_password", "", "user.password_changed"),
    ("user.erase", "", "user.erased"),
    ("membership.change_role", "", "user.role_changed"),
    ("membership.suspend", "", "user.suspended"),
    ("membership.resume", "", "user.resumed"),
    ("membership.deactivate", "", "user.deactivated"),
    ("membership.revoke", "", "user.credentials_revoked"),
    ("passkey.add", "", "user.passkey_added"),
    ("passkey.remove", "", "user.passkey_removed"),
    ("passkey.suspect", "", "user.passkey_suspect"),
    ("totp.add", "", "user.totp_added"),
    ("totp.remove", "", "user.totp_removed"),
    ("edge.bound_broken", "", "edge.bound_broken"),
    ("edge.bound_restored", "", "edge.bound_restored"),
];

/// A message that somebody asks for to see whether it comes.
pub const PING: &str = "webhook.ping";

/// The event of a row, if it is one.
pub fn of(action: &str, target: &str) -> Option<&'static str> {
    let fits = |(known, prefix, _): &&(&str, &str, &str)| *known == action && target.starts_with(prefix);
    EVENTS.iter().find(fits).map(|(.., event)| *event)
}

/// Every event there is, each once, in the order of the table.
pub fn all() -> Vec<&'static str> {
    let mut events = Vec::new();
    for (.., event) in EVENTS {
        if !events.contains(&event) {
            events.push(event);
        }
    }
    events
}

/// Whether a name or pattern can ever fit: an event, `key.*`, or `*`.
pub fn is_known(pattern: &str) -> bool {
    pattern == "*" || EVENTS.iter().any(|(.., event)| fits(pattern, event))
}

/// Whether one of the patterns between blanks fits.
pub fn wants(patterns: &str, event: &str) -> bool {
    patterns.split(' ').any(|pattern| fits(pattern, event))
}

fn fits(pattern: &str, event: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some("") => true,
        // `key.*`, never `ke*`.
        Some(prefix) => prefix.ends_with('.') && event.starts_with(prefix),
        None => pattern == event,
    }
}
