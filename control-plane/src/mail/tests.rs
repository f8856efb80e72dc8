//! The queue: sealed, retried, given up; and the outbox.

use std::sync::Arc;

use super::*;
use crate::config::{Config, SmtpTls};
use crate::sessions::tests::Browser;
use crate::testing::TestApp;

const HOUR: u64 = 3_600_000;

/// A letter that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) kind: String,
    pub(crate) to: Option<String>,
    pub(crate) text: String,
}

impl Waiting {
    /// The path and query of the link in it.
    pub(crate) fn link(&self, test: &TestApp) -> String {
        let line = self.text.lines().find(|line| line.contains("?token="));
        let line = line.unwrap_or_else(|| panic!("no link in {}", self.text));
        let path = line.strip_prefix(&test.app.config.issuer);
        path.expect("a page of ours").to_owned()
    }
}

/// Every letter that is due now, the oldest first; all stay in the queue.
pub(crate) async fn waiting(test: &TestApp) -> Vec<Waiting> {
    let now = test.app.clock.now();
    let mut tx = test.app.store.begin().await.expect("tx");
    let mut found = Vec::new();
    while let Some(row) = tx.take_mail(now, now.saturating_add(1)).await.expect("taken") {
        let sealed = open(&test.app, &row).expect("opened");
        found.push(Waiting {
            kind: row.kind,
            to: sealed.to,
            text: sealed.text,
        });
    }
    found
}

/// The last letter to somebody.
pub(crate) async fn last_to(test: &TestApp, email: &str) -> Waiting {
    let mut found = waiting(test).await.into_iter().rev();
    let theirs = found.find(|letter| letter.to.as_deref() == Some(email));
    theirs.unwrap_or_else(|| panic!("no mail to {email}"))
}

/// A mail server is configured, though nothing listens there.
pub(crate) fn with_mail(config: &mut Config) {
    config.mail.smtp_host = Some("127.0.0.1".to_owned());
    config.mail.smtp_port = Some(1);
    config.mail.smtp_tls = SmtpTls::None;
    config.mail.from = Some("Gate <gate@example.com>".to_owned());
}

async fn write(test: &TestApp, to: Option<&str>) {
    let now = test.app.clock.now();
    let link = format!("{}/password/reset?token=link_secret", test.app.config.issuer);
    let link = Url::parse(&link).expect("a URL");
    let mut tx = test.app.store.begin().await.expect("tx");
    let letter = Letter::password_reset(&link, now.saturating_add(30 * 60_000));
    queue(&mut tx, &test.app, to, letter, now).await.expect("queued");
    tx.commit().await.expect("commit");
}

#[tokio::test]
async fn a_letter_is_sealed_in_its_row() {
    let test = TestApp::start_with(with_mail).await;
    write(&test, Some("ada@example.com")).await;
    let now = test.app.clock.now();
    let mut tx = test.app.store.begin().await.expect("tx");
    let row = tx.take_mail(now, now).await.expect("taken").expect("one");
    let bytes = String::from_utf8_lossy(&row.sealed);
    for secret in ["link_secret", "ada@example.com", "password"] {
        assert!(!bytes.contains(secret), "{bytes}");
    }
    let moved = MailRow {
        id: row.id + 1,
        ..row.clone()
    };
    assert!(open(&test.app, &moved).is_err(), "it opens in its own row only");
    assert_eq!(
        format!(
            "{:?}",
            Letter::password_changed(now, &Url::parse("https://a.example").expect("a URL"))
        ),
        "Letter(\"password_changed\")"
    );
}

#[tokio::test]
async fn what_no_server_takes_is_retried_and_then_given_up() {
    let test = TestApp::start_with(with_mail).await;
    write(&test, Some("ada@example.com")).await;
    let app = || Arc::clone(&test.app);
    send_due(app()).await.expect("tried");
    assert!(waiting(&test).await.is_empty(), "not due yet");
    test.clock.advance_ms(14_999);
    assert!(waiting(&test).await.is_empty());
    test.clock.advance_ms(1);
    assert_eq!(waiting(&test).await.len(), 1, "due again after 15 seconds");
    send_due(app()).await.expect("tried again");
    test.clock.advance_ms(15_000);
    assert!(waiting(&test).await.is_empty(), "later each time");
    // The link in it has run out.
    test.clock.advance_ms(HOUR);
    assert_eq!(waiting(&test).await.len(), 1);
    send_due(app()).await.expect("given up");
    test.clock.advance_ms(48 * HOUR);
    assert!(waiting(&test).await.is_empty(), "it is gone");
}

#[tokio::test]
async fn a_letter_to_nobody_is_dropped() {
    let test = TestApp::start_with(with_mail).await;
    write(&test, None).await;
    assert_eq!(waiting(&test).await.len(), 1);
    send_due(Arc::clone(&test.app)).await.expect("done");
    test.clock.advance_ms(HOUR);
    assert!(waiting(&test).await.is_empty());
}

#[tokio::test]
async fn development_shows_mail_on_the_machine_itself() {
    let test = TestApp::start_with(|config| config.dev = true).await;
    let mut here = Browser::at(&test, "127.0.0.1:4000");
    let outbox = async |browser: &mut Browser<'_>, host: &str| {
        let request = axum::http::Request::get("/dev/outbox").header("host", host);
        browser.send(request, axum::body::Body::empty()).await
    };
    let empty = outbox(&mut here, "localhost:7070").await;
    assert_eq!(empty.status, 200);
    assert!(empty.raw.contains("No mail yet."), "{}", empty.raw);
    write(&test, Some("ada@example.com")).await;
    test.clock.advance_ms(1000);
    write(&test, Some("bob@example.com")).await;
    send_due(Arc::clone(&test.app)).await.expect("shown");
    let page = outbox(&mut here, "127.0.0.1:7070").await;
    assert_eq!(page.headers["referrer-policy"], "no-referrer");
    let at = |text: &str| {
        page.raw
            .find(text)
            .unwrap_or_else(|| panic!("{text}: {}", page.raw))
    };
    assert!(at("bob@example.com") < at("ada@example.com"), "newest first");
    let link = format!(
        r#"<a href="{}/password/reset?token=link_secret">"#,
        test.app.config.issuer
    );
    assert!(page.raw.contains(&link), "{}", page.raw);

    assert_eq!(
        outbox(&mut here, "evil.example").await.status,
        404,
        "another name for here"
    );
    let mut there = Browser::at(&test, "192.0.2.1:4000");
    assert_eq!(outbox(&mut there, "127.0.0.1:7070").await.status, 404);

    test.clock.advance_ms(24 * HOUR + 1);
    forget_shown(Arc::clone(&test.app)).await.expect("cleared");
    assert!(outbox(&mut here, "localhost").await.raw.contains("No mail yet."));
}

#[tokio::test]
async fn there_is_no_outbox_outside_development() {
    let test = TestApp::start_with(with_mail).await;
    let mut here = Browser::at(&test, "127.0.0.1:4000");
    let answer = here.get("/dev/outbox").await;
    assert_eq!(answer.outcome(), (404, "not_found"));
}
