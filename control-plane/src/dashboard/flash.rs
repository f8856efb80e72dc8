//! A sentence that survives one redirect, in a cookie: shown once on the next page, as text.
//!
//! It is not signed. Nobody else can set a `__Host-` cookie, and the worst that a forged one could do is to say something.

use axum::http::{HeaderMap, HeaderValue, header};
use shared::crypto::{base64url, from_base64url};

const MAX_BYTES: usize = 1024;

fn name(secure: bool) -> &'static str {
    if secure {
        "__Host-portcullis-flash"
    } else {
        "portcullis_flash"
    }
}

pub(super) fn set(headers: &mut HeaderMap, secure: bool, sentence: &str) {
    let value = base64url(sentence.as_bytes());
    if sentence.len() <= MAX_BYTES {
        put(headers, secure, &value, "; Max-Age=60");
    }
}

pub(super) fn clear(headers: &mut HeaderMap, secure: bool) {
    put(headers, secure, "", "; Max-Age=0");
}

fn put(headers: &mut HeaderMap, secure: bool, value: &str, more: &str) {
    let safe = if secure { "; Secure" } else { "" };
    let text = format!(
        "{}={value}; Path=/; HttpOnly{safe}; SameSite=Lax{more}",
        name(secure)
    );
    if let Ok(value) = HeaderValue::from_str(&text) {
        headers.append(header::SET_COOKIE, value);
    }
}

pub(super) fn read(headers: &HeaderMap, secure: bool) -> Option<String> {
    let mut values = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(given, _)| *given == name(secure));
    let (_, value) = values.next()?;
    let bytes = from_base64url(value).filter(|bytes| !bytes.is_empty() && bytes.len() <= MAX_BYTES)?;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_comes_back() {
        let mut answer = HeaderMap::new();
        set(&mut answer, true, "The key “a” was revoked.");
        let cookie = answer[header::SET_COOKIE].to_str().expect("text");
        let (pair, attributes) = cookie.split_once(';').expect("attributes");
        assert!(attributes.contains("HttpOnly; Secure; SameSite=Lax"));
        let request = HeaderMap::from_iter([(header::COOKIE, pair.parse().expect("a header"))]);
        assert_eq!(read(&request, true).as_deref(), Some("The key “a” was revoked."));
        assert_eq!(read(&request, false), None, "the other name");
        for wrong in [
            "",
            "portcullis_flash=",
            "portcullis_flash=%%",
            "portcullis_flash=_w",
        ] {
            let request = HeaderMap::from_iter([(header::COOKIE, wrong.parse().expect("a header"))]);
            assert_eq!(read(&request, false), None, "{wrong}");
        }
    }
}
