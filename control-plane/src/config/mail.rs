//! Mail: which server sends it, and how much of it strangers and members may cause.
//!
//! What it does not: connect. A server that does not answer is found by the job that sends.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{Config, ConfigError, redact, validate::positive};

/// How mail is sent, and how much of it anybody may cause.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mail {
    /// The mail server. Without it: no mail; in `dev` an outbox at `/dev/outbox`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smtp_host: Option<String>,
    /// Its port; without it 465, 587 or 25, as `smtp_tls` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smtp_port: Option<u16>,
    /// How the connection is protected.
    pub smtp_tls: SmtpTls,
    /// Whom to sign in as there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smtp_user: Option<String>,
    /// The password of `smtp_user`.
    #[serde(serialize_with = "redact", skip_serializing_if = "Option::is_none")]
    pub smtp_password: Option<SecretString>,
    /// The sender: `gate@example.com` or `Gate <gate@example.com>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Requests that send mail are counted for so long; then the count starts again.
    pub window_seconds: u64,
    /// Mails that strangers may cause to one address in a window; without it 5, in `dev` 100,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_account: Option<u64>,
    /// The same from one client address (IPv6: one /64); without it 20, in `dev` 100,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_address: Option<u64>,
    /// Invitations of one organisation in a window; without it 50, in `dev` 100,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invitations_per_org: Option<u64>,
}

/// How a connection to the mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// TLS from the first byte (RFC 8314 §3.3).
    Implicit,
    /// TLS by STARTTLS, and nothing without it (RFC 3207).
    Starttls,
    /// None: a relay on this machine.
    None,
}

impl Default for Mail {
    fn default() -> Self {
        Self {
            smtp_host: None,
            smtp_port: None,
            smtp_tls: SmtpTls::Implicit,
            smtp_user: None,
            smtp_password: None,
            from: None,
            window_seconds: 3600,
            requests_per_account: None,
            requests_per_address: None,
            invitations_per_org: None,
        }
    }
}

impl Mail {
    /// The mail server's port.
    pub fn port(&self) -> u16 {
        let usual = match self.smtp_tls {
            SmtpTls::Implicit => 465,
            SmtpTls::Starttls => 587,
            SmtpTls::None => 25,
        };
        self.smtp_port.unwrap_or(usual)
    }
}

impl Config {
    /// Whether this deployment can send mail, or shows it in the outbox.
    pub fn has_mail(&self) -> bool {
        self.dev || self.mail.smtp_host.is_some()
    }

    /// Whether anybody may make an account.
    pub fn sign_up_enabled(&self) -> bool {
        self.sign_up.enabled.unwrap_or(self.dev)
    }

    /// Mails that strangers may cause to one address in a window.
    pub fn mails_per_account(&self) -> u64 {
        self.mail
            .requests_per_account
            .unwrap_or(if self.dev { 100_000 } else { 5 })
    }

    /// Mails that one client address may cause in a window.
    pub fn mails_per_address(&self) -> u64 {
        self.mail
            .requests_per_address
            .unwrap_or(if self.dev { 100_000 } else { 20 })
    }

    /// Invitations of one organisation in a window.
    pub fn invitations_per_org(&self) -> u64 {
        self.mail
            .invitations_per_org
            .unwrap_or(if self.dev { 100_000 } else { 50 })
    }
}

pub(super) fn validate(config: &Config) -> Result<(), ConfigError> {
    let invalid = |key, problem: &str| {
        Err(ConfigError::Invalid {
            key,
            problem: problem.to_owned(),
        })
    };
    let mail = &config.mail;
    if config.sign_up.enabled == Some(true) && !config.has_mail() {
        return invalid(
            "sign_up.enabled",
            "a sign-up is confirmed by mail: set mail.smtp_host and mail.from",
        );
    }
    match &mail.smtp_host {
        None if mail.smtp_user.is_some() || mail.smtp_password.is_some() => {
            return invalid("mail.smtp_user", "is of no use without mail.smtp_host");
        }
        None => {}
        Some(host) => {
            if mail.smtp_tls == SmtpTls::None && !is_loopback(host) {
                return invalid(
                    "mail.smtp_tls",
                    "mails hold links that sign people in: `none` is accepted on a loopback host only",
                );
            }
            if mail.from.is_none() {
                return invalid("mail.from", "name the sender, such as gate@example.com");
            }
        }
    }
    if mail.smtp_user.is_some() != mail.smtp_password.is_some() {
        return invalid("mail.smtp_user", "comes together with mail.smtp_password");
    }
    let from = mail.from.as_deref();
    if from.is_some_and(|from| from.parse::<lettre::message::Mailbox>().is_err()) {
        return invalid("mail.from", "must be an e-mail address, with or without a name");
    }
    positive("mail.window_seconds", mail.window_seconds, 24 * 3600)?;
    let most = 1_000_000;
    positive("mail.requests_per_account", config.mails_per_account(), most)?;
    positive("mail.requests_per_address", config.mails_per_address(), most)?;
    positive("mail.invitations_per_org", config.invitations_per_org(), most)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
