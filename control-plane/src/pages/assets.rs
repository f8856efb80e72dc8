//! Stylesheets, scripts and the icon. Each is named by its content, so browsers may keep it for good.

use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};

use super::PageError;

struct Asset {
    /// Name and ending: the mark goes in between.
    name: (&'static str, &'static str),
    kind: &'static str,
    text: &'static str,
    mark: u64,
}

const fn asset(name: (&'static str, &'static str), kind: &'static str, text: &'static str) -> Asset {
    Asset {
        name,
        kind,
        text,
        mark: fnv1a(text.as_bytes()),
    }
}

const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

static ASSETS: [Asset; 6] = [
    asset(
        ("portcullis", "css"),
        CSS,
        include_str!("../../assets/portcullis.css"),
    ),
    asset(
        ("dashboard", "css"),
        CSS,
        include_str!("../../assets/dashboard.css"),
    ),
    asset(("passkeys", "js"), JS, include_str!("../../assets/passkeys.js")),
    asset(("dashboard", "js"), JS, include_str!("../../assets/dashboard.js")),
    // Unchanged from the npm package htmx.org, licence beside it.
    asset(
        ("htmx", "js"),
        JS,
        include_str!("../../assets/vendor/htmx-4.0.1.min.js"),
    ),
    asset(
        ("portcullis", "svg"),
        SVG,
        include_str!("../../assets/portcullis.svg"),
    ),
];

/// The router's path of all of them.
pub const PATH: &str = "/assets/{file}";

impl Asset {
    fn file(&self) -> String {
        let (name, ending) = self.name;
        format!("{name}.{:016x}.{ending}", self.mark)
    }
}

/// The path of `portcullis.css` and the like. An unknown name leads nowhere.
pub fn asset_path(name: &str) -> String {
    let found = ASSETS
        .iter()
        .find(|asset| name.split_once('.') == Some(asset.name));
    format!("/assets/{}", found.map(Asset::file).unwrap_or_default())
}

/// `GET /assets/{file}`.
pub async fn get(Path(file): Path<String>) -> Response {
    match ASSETS.iter().find(|asset| asset.file() == file) {
        Some(asset) => answer(asset, "public, max-age=31536000, immutable"),
        None => PageError::not_found("There is no such file; a newer version of the page may name another.")
            .into_response(),
    }
}

/// `GET /favicon.ico`: browsers ask for it whatever a page says.
pub async fn favicon() -> Response {
    match ASSETS.iter().find(|asset| asset.kind == SVG) {
        Some(icon) => answer(icon, "public, max-age=86400"),
        None => PageError::not_found("There is no icon.").into_response(),
    }
}

fn answer(asset: &Asset, kept: &'static str) -> Response {
    let fixed = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static(kept)),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
    ];
    (fixed, asset.text).into_response()
}

/// FNV-1a: tells texts apart at compile time. Not a cryptographic hash, and none is needed for a name.
const fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        hash = (hash ^ *first as u64).wrapping_mul(0x0100_0000_01b3);
        rest = tail;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_asset_has_a_path_of_its_own() {
        let paths: std::collections::BTreeSet<_> = ASSETS
            .iter()
            .map(|asset| asset_path(&format!("{}.{}", asset.name.0, asset.name.1)))
            .collect();
        assert_eq!(paths.len(), ASSETS.len());
        assert!(
            paths.iter().all(|path| path.len() > "/assets/".len()),
            "{paths:?}"
        );
        assert_eq!(asset_path("nothing.css"), "/assets/");
    }
}
