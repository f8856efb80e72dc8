//! What is below HTTP: TLS where it must be, a certificate that lasts, a clock that agrees.

use shared::time::UnixSeconds;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use url::{Host, Url};

use super::certificate;
use super::probe::Answer;
use super::report::{Fault, Verdict};

/// What tokens allow for (`iat`, `nbf`).
const MAX_SKEW_SECONDS: u64 = 60;
const WARN_DAYS: u64 = 7;

/// Whether this machine itself is meant.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// https, except on this machine.
pub(super) fn is_protected(text: &str) -> Result<Url, Fault> {
    let url = Url::parse(text)
        .map_err(|error| Fault::new(format!("`{text}` is not a URL ({error})"), "give a whole URL"))?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        _ => Err(Fault::new(
            format!("`{text}` is not https"),
            "use https: only a loopback address may do without",
        )),
    }
}

/// The connection that gave this answer.
pub(super) fn tls(address: &str, answer: &Answer, now: UnixSeconds) -> Verdict {
    let url = is_protected(address)?;
    if url.scheme() == "http" {
        return Ok("plain http, on a loopback address".to_owned());
    }
    let Some(der) = &answer.certificate else {
        return Ok("the certificate is trusted".to_owned());
    };
    let Some(end) = certificate::not_after(der) else {
        return Ok("the certificate is trusted; its end could not be read".to_owned());
    };
    let days = end.0.saturating_sub(now.0) / 86_400;
    if days < WARN_DAYS {
        return Err(Fault::new(
            format!("the certificate ends in {days} days"),
            "renew it now, and see why it was not renewed by itself",
        ));
    }
    Ok(format!("the certificate is trusted and lasts {days} days"))
}

/// `Date` (RFC 9110 §6.6.1) beside the clock of this machine.
pub(super) fn clock(answer: &Answer, now: UnixSeconds) -> Verdict {
    let fix =
        "let both machines take their time from NTP: tokens would count as not yet valid, or as expired";
    let theirs = answer
        .header("date")
        .and_then(|text| OffsetDateTime::parse(text, &Rfc2822).ok())
        .and_then(|time| u64::try_from(time.unix_timestamp()).ok())
        .ok_or_else(|| {
            Fault::new(
                "no Date header that can be read",
                "let the proxy in front keep the Date header",
            )
        })?;
    let skew = theirs.abs_diff(now.0);
    if skew > MAX_SKEW_SECONDS {
        let found = format!("the server's clock and this machine's differ by {skew} s");
        return Err(Fault::new(found, fix));
    }
    Ok(format!("{skew} s from this machine's"))
}
