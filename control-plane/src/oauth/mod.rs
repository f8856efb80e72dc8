//! OAuth 2.1, as far as it goes today: clients get access tokens for themselves (`client_credentials`).
//!
//! `POST /token` reads in order: [`form`] → [`client_auth`] → [`token`] → [`access_token`]. Metadata (RFC 8414) names only
//! what is really there. Errors have the bodies of RFC 6749 ([`error`]), not those of `/v1`.
//! What it does not: sign people in, or accept tokens (the edge does).

pub mod access_token;
pub mod client_auth;
pub mod clients;
pub mod error;
pub mod form;
pub mod jwks;
pub mod metadata;
pub mod token;

#[cfg(test)]
mod tests;
