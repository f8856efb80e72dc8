//! What the types cannot say: which values make sense, alone and together.

use url::{Host, Url};

use super::{Config, ConfigError};

pub(super) fn validate(config: &Config) -> Result<(), ConfigError> {
    issuer(&config.issuer)?;
    resource(&config.resource)?;
    brand(&config.brand)?;
    super::edges::validate(config)?;
    super::clients::validate(config)?;
    super::identity_providers::validate(config)?;
    super::signals::validate(config)?;
    let invalid = |key, problem: &str| {
        Err(ConfigError::Invalid {
            key,
            problem: problem.to_owned(),
        })
    };
    if config.environments.is_empty() {
        return invalid("environments", "list at least one of live, test, dev");
    }
    if config.master_key.is_none() && config.master_key_file.is_none() {
        return invalid(
            "master_key_file",
            "name a file, or set PORTCULLIS_MASTER_KEY to 32 random bytes in base64",
        );
    }
    if !(config.database_url.starts_with("sqlite:") || config.database_url.starts_with("postgres")) {
        return invalid("database_url", "must start with sqlite: or postgres:");
    }
    if config.database_url.contains(":memory:") {
        return invalid(
            "database_url",
            "an in-memory database is lost at exit and differs by connection: name a file",
        );
    }
    if config.metrics_listen == Some(config.listen) {
        return invalid("metrics_listen", "must differ from `listen`");
    }
    if !config.bootstrap_email.contains('@') {
        return invalid("bootstrap_email", "must be an e-mail address");
    }
    positive("tokens.access_seconds", config.tokens.access_seconds, 86_400)?;
    // 100 days: so long a session that ended is remembered, and what came of it can be ended with it.
    positive(
        "tokens.refresh_max_seconds",
        config.tokens.refresh_max_seconds,
        8_640_000,
    )?;
    positive(
        "tokens.refresh_idle_seconds",
        config.tokens.refresh_idle_seconds,
        8_640_000,
    )?;
    positive("feed.heartbeat_ms", config.feed.heartbeat_ms, 60_000)?;
    positive("feed.contact_alert_ms", config.feed.contact_alert_ms, 86_400_000)?;
    positive("canary.interval_seconds", config.canary.interval_seconds, 86_400)?;
    positive("feed.receipt_wait_ms", config.feed.receipt_wait_ms, 60_000)?;
    positive("limits.request_seconds", config.limits.request_seconds, 600)?;
    sign_in(config)?;
    super::device::check(config)?;
    super::mail::validate(config)?;
    super::rate_limits::validate_rate_limits(config)?;
    super::status_lists::check(config)?;
    super::issuers::check(config)?;
    super::usage::check(config)?;
    super::retention::check(config)?;
    factors(config)?;
    if config.limits.request_seconds * 1000 <= config.feed.receipt_wait_ms {
        return invalid(
            "limits.request_seconds",
            "must be longer than feed.receipt_wait_ms, or receipts are cut off",
        );
    }
    Ok(())
}

/// A session lasts at most 7 days, whatever is configured; a limit of zero would shut everybody out.
fn sign_in(config: &Config) -> Result<(), ConfigError> {
    const DAY: u64 = 24 * 3600;
    positive("sessions.max_seconds", config.sessions.max_seconds, 7 * DAY)?;
    positive(
        "sessions.idle_seconds",
        config.sessions.idle_seconds,
        config.sessions.max_seconds,
    )?;
    positive("sign_in.window_seconds", config.sign_in.window_seconds, DAY)?;
    let most = 1_000_000;
    positive(
        "sign_in.failures_per_account",
        config.sign_in_failures_per_account(),
        most,
    )?;
    positive(
        "sign_in.failures_per_address",
        config.sign_in_failures_per_address(),
        most,
    )?;
    positive(
        "sign_in.successes_per_account",
        config.sign_in_successes_per_account(),
        most,
    )?;
    let header = config.sign_in.address_header.as_deref();
    if header.is_some_and(|name| name.parse::<axum::http::HeaderName>().is_err()) {
        return Err(ConfigError::Invalid {
            key: "sign_in.address_header",
            problem: "must be the name of a header, such as X-Forwarded-For".to_owned(),
        });
    }
    Ok(())
}

fn factors(config: &Config) -> Result<(), ConfigError> {
    let most = 1_000_000;
    positive("factors.window_seconds", config.factors.window_seconds, 86_400)?;
    positive("factors.recent_seconds", config.factors.recent_seconds, 86_400)?;
    positive(
        "factors.failures_per_account",
        config.factor_failures_per_account(),
        most,
    )?;
    positive(
        "factors.failures_per_address",
        config.factor_failures_per_address(),
        most,
    )
}

pub(super) fn positive(key: &'static str, value: u64, most: u64) -> Result<(), ConfigError> {
    if (1..=most).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::Invalid {
        key,
        problem: format!("must be between 1 and {most}"),
    })
}

/// RFC 8414 §2: https, no query, no fragment. http is for a developer's own machine only.
fn issuer(text: &str) -> Result<(), ConfigError> {
    let invalid = |problem: &str| ConfigError::Invalid {
        key: "issuer",
        problem: problem.to_owned(),
    };
    let url =
        Url::parse(text).map_err(|_| invalid("must be an absolute URL such as https://auth.example.com"))?;
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        "http" => return Err(invalid("http is accepted on a loopback address only: use https")),
        _ => return Err(invalid("must be an https URL")),
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err(invalid(
            "must not have a query, a fragment or a user (RFC 8414 §2)",
        ));
    }
    if url.path() != "/" {
        return Err(invalid(
            "must not have a path: cookies and pages need the root of a host, so give the control plane a host name of its own",
        ));
    }
    if text.ends_with('/') {
        return Err(invalid(
            "must not end with a slash: issuers are compared byte for byte",
        ));
    }
    // What clients compute from the URL must be the bytes that stand in the tokens.
    if url.as_str().trim_end_matches('/') != text {
        return Err(invalid(
            "must be written in its normal form: lower-case host, no default port",
        ));
    }
    Ok(())
}

/// RFC 8707 §2: an absolute URI without a fragment.
fn resource(text: &str) -> Result<(), ConfigError> {
    let invalid = |problem: &str| ConfigError::Invalid {
        key: "resource",
        problem: problem.to_owned(),
    };
    let url = Url::parse(text).map_err(|_| invalid("must be an absolute URL, normally the edge's"))?;
    if url.fragment().is_some() {
        return Err(invalid("must not have a fragment (RFC 8707 §2)"));
    }
    Ok(())
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn brand(text: &str) -> Result<(), ConfigError> {
    if shared::key::is_brand(text) {
        return Ok(());
    }
    let problem = "must be 1 to 16 lower-case letters or digits".to_owned();
    Err(ConfigError::Invalid {
        key: "brand",
        problem,
    })
}
