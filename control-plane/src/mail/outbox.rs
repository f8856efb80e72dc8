//! `/dev/outbox`: the mails of a development machine, for whoever sits at it.
//!
//! There is no such path outside `dev`. The links on it sign people in, so it is shown to the machine itself only: the peer
//! and the client that a proxy names must be loopback, and the host that was asked for too, or a page elsewhere could have its
//! name point here and read along.

use std::net::SocketAddr;
use std::sync::Arc;

use askama::Template;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use url::{Host, Url};

use super::open;
use crate::app::App;
use crate::http::address::ClientAddress;
use crate::pages::{self, Moment, PageError};

const SHOWN: u32 = 50;

#[derive(Template)]
#[template(path = "outbox.html")]
struct OutboxPage {
    mails: Vec<Shown>,
}

struct Shown {
    to: String,
    subject: String,
    at: Moment,
    text: String,
    link: Option<String>,
}

/// `GET /dev/outbox`.
pub async fn get(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    address: ClientAddress,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let near = peer.ip().to_canonical().is_loopback()
        && address.0.is_some_and(|address| address.is_loopback())
        && is_loopback_host(&headers);
    if !near {
        return Err(PageError::not_found(
            "The outbox is shown on the machine itself only.",
        ));
    }
    let mut tx = app.store.begin_read().await?;
    let rows = tx.shown_mails(SHOWN).await?;
    drop(tx);
    let mut mails = Vec::new();
    for row in rows {
        let sealed = open(&app, &row).map_err(PageError::internal)?;
        let link = link_of(&sealed.text, &app.config.issuer);
        mails.push(Shown {
            to: sealed.to.unwrap_or_default(),
            subject: sealed.subject,
            at: row.created_at.into(),
            link: link.map(str::to_owned),
            text: sealed.text,
        });
    }
    let mut response = pages::html(StatusCode::OK, &OutboxPage { mails });
    pages::hide_address(&mut response);
    Ok(response)
}

/// The line that is a link of ours and nothing else: what a member typed may stand anywhere else in a letter.
fn link_of<'a>(text: &'a str, issuer: &str) -> Option<&'a str> {
    text.lines().find(|line| {
        let path = line.strip_prefix(issuer.trim_end_matches('/'));
        path.is_some_and(|path| path.starts_with('/'))
            && line.contains("?token=")
            && !line.contains(char::is_whitespace)
    })
}

fn is_loopback_host(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    let url = host.and_then(|host| Url::parse(&format!("http://{host}/")).ok());
    match url.as_ref().and_then(Url::host) {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_link() {
        let ours = "https://auth.example/invitation?token=link_1";
        for name in [
            "https://evil.example/?token=1",
            "https://auth.example.evil.example/?token=1",
            "https://auth.example@evil.example/?token=1",
            "https://auth.example/?token=1",
            "?token=1",
        ] {
            let text = format!("Hello,\n\n{name} (a@b) invites you. To accept, open\n\n{ours}\n\nBye.\n");
            assert_eq!(link_of(&text, "https://auth.example"), Some(ours), "{name}");
        }
        assert_eq!(
            link_of("https://evil.example/?token=1", "https://auth.example"),
            None
        );
        assert_eq!(
            link_of("https://auth.example.evil/?token=1", "https://auth.example"),
            None
        );
    }
}
