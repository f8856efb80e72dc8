//! The job that sends what is due, and how: by SMTP, or to the outbox of development.
//!
//! A mail is taken for a while and dropped when the server has it: a process that dies in between sends it twice rather than
//! never. What it does not log, outside development: whom a mail went to, and what it said.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use secrecy::ExposeSecret as _;
use shared::time::UnixMillis;

use super::{DAY_MS, Sealed, open};
use crate::app::App;
use crate::config::{Config, SmtpTls};
use crate::store::mails::MailRow;

/// Longer than a server may take, so that nobody else sends the same mail meanwhile.
const TAKEN_MS: u64 = 5 * 60_000;
const SERVER_LIMIT: Duration = Duration::from_secs(30);
const FIRST_RETRY_MS: u64 = 15_000;
const LAST_RETRY_MS: u64 = 3_600_000;
/// As many in one run; the next comes soon.
const BATCH: usize = 50;

/// Where mail goes.
#[derive(Clone, Debug)]
pub enum Transport {
    /// To a mail server, from this sender.
    Smtp(Box<AsyncSmtpTransport<Tokio1Executor>>, Mailbox),
    /// To `/dev/outbox` and stderr.
    Outbox,
    /// Nowhere: what needs mail is off.
    None,
}

impl Transport {
    /// As the configuration says. Connects to nothing yet.
    pub fn build(config: &Config) -> anyhow::Result<Self> {
        let mail = &config.mail;
        let (Some(host), Some(from)) = (&mail.smtp_host, &mail.from) else {
            return Ok(if config.dev { Self::Outbox } else { Self::None });
        };
        let tls = || TlsParameters::new(host.clone()).context("TLS for the mail server could not be set up");
        let tls = match mail.smtp_tls {
            SmtpTls::Implicit => Tls::Wrapper(tls()?),
            SmtpTls::Starttls => Tls::Required(tls()?),
            SmtpTls::None => Tls::None,
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host.as_str())
            .tls(tls)
            .port(mail.port())
            .timeout(Some(SERVER_LIMIT));
        if let (Some(user), Some(password)) = (&mail.smtp_user, &mail.smtp_password) {
            let credentials = Credentials::new(user.clone(), password.expose_secret().to_owned());
            builder = builder.credentials(credentials);
        }
        let from = from.parse().context("mail.from")?;
        Ok(Self::Smtp(Box::new(builder.build()), from))
    }
}

/// The job: sends what is due.
pub async fn send_due(app: Arc<App>) -> anyhow::Result<()> {
    if matches!(app.mail, Transport::None) {
        return Ok(());
    }
    for _ in 0..BATCH {
        let now = app.clock.now();
        let mut tx = app.store.begin().await?;
        let taken = tx.take_mail(now, now.saturating_add(TAKEN_MS)).await?;
        tx.commit().await?;
        let Some(mail) = taken else { break };
        send(&app, &mail, now).await?;
    }
    Ok(())
}

async fn send(app: &App, mail: &MailRow, now: UnixMillis) -> anyhow::Result<()> {
    let mut tx = app.store.begin().await?;
    let kind = mail.kind.as_str();
    if mail.expires_at <= now {
        tracing::error!(
            mail = mail.id,
            kind,
            attempts = mail.attempts,
            "a mail was given up"
        );
        count(kind, "given_up");
        tx.drop_mail(mail.id).await?;
        return Ok(tx.commit().await?);
    }
    let sealed = open(app, mail)?;
    let Some(to) = sealed.to.as_deref() else {
        tx.drop_mail(mail.id).await?;
        return Ok(tx.commit().await?);
    };
    // Nothing of the database is held while a server answers.
    drop(tx);
    let result = match &app.mail {
        Transport::Smtp(smtp, from) => deliver(smtp, from, to, &sealed).await,
        Transport::Outbox | Transport::None => {
            eprintln!("mail to {to}: {}\n{}", sealed.subject, sealed.text);
            Ok(())
        }
    };
    let mut tx = app.store.begin().await?;
    match result {
        Ok(()) => {
            count(kind, "sent");
            if matches!(app.mail, Transport::Smtp(..)) {
                tx.drop_mail(mail.id).await?;
            } else {
                tx.show_mail(mail.id, now).await?;
            }
        }
        Err(error) => {
            let wait = retry_after(mail.attempts);
            let error = format!("{error:#}");
            tracing::warn!(
                mail = mail.id,
                kind,
                attempts = mail.attempts,
                wait_ms = wait,
                error,
                "a mail was not sent"
            );
            count(kind, "failed");
            tx.postpone_mail(mail.id, now.saturating_add(wait)).await?;
        }
    }
    Ok(tx.commit().await?)
}

async fn deliver(
    smtp: &AsyncSmtpTransport<Tokio1Executor>,
    from: &Mailbox,
    to: &str,
    sealed: &Sealed,
) -> anyhow::Result<()> {
    let to: Address = to
        .parse()
        .map_err(|_| anyhow::anyhow!("the recipient is not an address"))?;
    let mut message = Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .subject(sealed.subject.as_str())
        .message_id(None)
        .header(ContentType::TEXT_PLAIN)
        .body(sealed.text.clone())?;
    // RFC 3834 §5: no machine answers it.
    let automatic = HeaderValue::new(
        HeaderName::new_from_ascii_str("Auto-Submitted"),
        "auto-generated".to_owned(),
    );
    message.headers_mut().insert_raw(automatic);
    match smtp.send(message).await {
        Ok(_) => Ok(()),
        // What a server says may repeat the address: its code is enough.
        Err(error) => match error.status() {
            Some(status) => Err(anyhow::anyhow!("the mail server answered {status}")),
            None => Err(anyhow::anyhow!(error).context("the mail server was not reached")),
        },
    }
}

/// 15 s, 30 s, a minute, and so on to an hour.
fn retry_after(attempts: u64) -> u64 {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    FIRST_RETRY_MS
        .saturating_mul(2u64.saturating_pow(doublings))
        .min(LAST_RETRY_MS)
}

fn count(kind: &str, result: &'static str) {
    metrics::counter!("portcullis_mails_total", "kind" => kind.to_owned(), "result" => result).increment(1);
}

/// The job that clears the outbox after a day.
pub async fn forget_shown(app: Arc<App>) -> anyhow::Result<()> {
    let before = UnixMillis(app.clock.now().0.saturating_sub(DAY_MS));
    let mut tx = app.store.begin().await?;
    tx.forget_shown_mails(before).await?;
    Ok(tx.commit().await?)
}

#[cfg(test)]
mod tests {
    use super::retry_after;

    #[test]
    fn retries_slow_down() {
        let waits: Vec<_> = [1, 2, 3, 9, 10, 1000]
            .map(|attempts| retry_after(attempts) / 1000)
            .into();
        assert_eq!(waits, [15, 30, 60, 3600, 3600, 3600]);
    }
}
