//! OAuth 2.1 and OpenID Connect: people and programs get tokens, and give them back.
//!
//! | path | file | does |
//! | --- | --- | --- |
//! | `/authorize` | [`authorize`], `request`, `jar`, `login_after`, `consent` | a person lets a client in: a code goes back with the browser |
//! | `/par` | [`par`], `pushed` | a client sends its request ahead |
//! | `/device_authorization`, `/device` | [`device`] | a device without a browser, and its person |
//! | `/token` | [`token`], `exchange`, `refresh` | a code, a refresh token or a client's own name become tokens |
//! | `/token` with an assertion | `jwt_bearer`, `id_jag`, [`providers`] | an organisation's identity provider lets a client in |
//! | `/revoke` | [`revoke`] | a token, and what came with it, ends at the edge too |
//! | any of them, with a DPoP header | [`dpop`] | a token is bound to a key |
//! | `/introspect`, `/userinfo` | [`introspect`], [`userinfo`], `effective` | what a token is worth; who is behind it |
//! | `/logout` | [`logout`] | an app ends the session |
//! | `/register` | [`registration`] | a client makes itself known, without costing a row |
//! | `/.well-known/…` | [`metadata`], [`jwks`] | what is really there, and nothing else |
//!
//! A request to `/token` is read in order: [`form`] → [`client_auth`] → [`dpop`] → its grant → `pair` → [`jws`]. A grant ([`grants`]) is
//! one consent and all its tokens. Errors have the bodies of RFC 6749 ([`error`]), not those of `/v1`.
//! [`lookup`] says which client a `client_id` names: registered, a document at a URL (`documents`), or sealed.
//! [`built_in`] is the command line's own client, whose tokens call `/v1`.
//! What it does not: sign people in (`sessions` does), or accept access tokens for APIs (the edge does).

pub mod assertion;
pub mod authorize;
pub mod backchannel;
pub mod built_in;
pub mod client_auth;
pub mod clients;
pub(crate) mod compact;
pub mod consent;
pub mod cors;
pub mod device;
mod documents;
pub mod dpop;
mod effective;
pub mod error;
mod exchange;
pub mod form;
pub mod grants;
pub(crate) mod holder;
mod id_jag;
pub mod introspect;
mod jar;
pub mod jwks;
pub mod jws;
mod jwt_bearer;
mod login_after;
pub mod logout;
pub mod lookup;
pub mod metadata;
pub mod opaque;
mod pair;
pub mod par;
mod pkce;
pub mod providers;
pub mod pushed;
pub mod redirect;
mod refresh;
pub mod registration;
mod request;
mod resource;
pub mod revoke;
pub mod scopes;
mod seal;
pub mod token;
mod token_exchange;
pub mod userinfo;

#[cfg(test)]
pub(crate) mod tests;
