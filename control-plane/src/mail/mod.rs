//! Mail: letters are queued in the transaction of the change that they tell of, and sent by a job.
//!
//! A letter waits sealed under the master key, whom it goes to included: the database alone opens no link. It is dropped
//! when it was sent, or given up when what it says is of no use any more, after a day at most.
//!
//! | file | does |
//! | --- | --- |
//! | `letters` | the wording |
//! | `send` | the job, and SMTP |
//! | `outbox` | `/dev/outbox`, where development has no mail server |
//! | `limits` | how much mail anybody may cause |
//!
//! What it does not: HTML mail, or anything that nobody asked for.

mod letters;
pub mod limits;
pub mod outbox;
mod send;
#[cfg(test)]
pub(crate) mod tests;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use shared::id::LIMIT;
use shared::time::UnixMillis;
use url::Url;

use crate::app::App;
use crate::error::{ApiError, Code};
use crate::oauth::opaque::Opaque;
use crate::pages::PageError;
use crate::store::Tx;
use crate::store::mails::MailRow;

pub use letters::Letter;
pub use send::{Transport, forget_shown, send_due};

/// Said wherever something needs mail and there is none.
const NO_MAIL: &str =
    "This installation cannot send mail, so this does not work here. Ask its administrator.";
const DAY_MS: u64 = 24 * 3600 * 1000;

/// What is sealed. Without a recipient it is sent to nobody: it was written so that writing took the same time.
#[derive(Serialize, Deserialize)]
struct Sealed {
    to: Option<String>,
    subject: String,
    text: String,
}

/// Puts a letter into the queue, in the transaction of what it tells of. `to` is `None` where nobody must learn that there
/// is nobody to write to.
pub async fn queue(
    tx: &mut Tx,
    app: &App,
    to: Option<&str>,
    letter: Letter,
    now: UnixMillis,
) -> anyhow::Result<()> {
    let id = app.random.below(LIMIT)?;
    let sealed = Sealed {
        to: to.map(str::to_owned),
        subject: letter.subject,
        text: letter.text,
    };
    let plain = zeroize::Zeroizing::new(serde_json::to_vec(&sealed)?);
    let row = MailRow {
        id,
        kind: letter.kind.to_owned(),
        sealed: app.keyring.seal(&context(id), &plain)?,
        created_at: now,
        expires_at: letter.expires_at.map_or(now.saturating_add(DAY_MS), |at| {
            at.min(now.saturating_add(DAY_MS))
        }),
        attempts: 0,
    };
    Ok(tx.insert_mail(&row).await?)
}

fn open(app: &App, mail: &MailRow) -> anyhow::Result<Sealed> {
    let plain = app.keyring.open(&context(mail.id), &mail.sealed)?;
    serde_json::from_slice(&plain).context("a sealed mail is not readable")
}

/// What a mail is sealed for.
pub(crate) fn context(id: u64) -> String {
    format!("mail/{id}")
}

/// A link to a page of ours that carries a secret.
pub fn link(app: &App, path: &str, secret: &Opaque) -> anyhow::Result<Url> {
    let mut url = Url::parse(&app.config.issuer)?.join(path)?;
    url.query_pairs_mut().append_pair("token", secret.expose());
    Ok(url)
}

/// Refuses a page that needs mail where there is none.
pub fn require_for_page(app: &App) -> Result<(), PageError> {
    if app.config.has_mail() {
        return Ok(());
    }
    Err(PageError::new(
        axum::http::StatusCode::SERVICE_UNAVAILABLE,
        "no_mail",
        "No mail here",
        NO_MAIL,
    ))
}

/// The same for the API.
pub fn require_for_api(app: &App) -> Result<(), ApiError> {
    if app.config.has_mail() {
        return Ok(());
    }
    Err(ApiError::new(
        Code::NoMail,
        "this installation cannot send mail: set `mail.smtp_host` and `mail.from`",
    ))
}
