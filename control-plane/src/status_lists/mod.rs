//! Token Status Lists (draft-ietf-oauth-status-list) for verifiers that are not our edge: `GET /status-lists/{n}`, the URI that
//! every access token carries in `status.status_list.uri`.
//!
//! A list is computed from the effective state, as introspection is: revoked, deactivated, or issued before somebody's
//! not-before is INVALID; a suspended member's credentials, and those in quarantine, are SUSPENDED. An index that nobody drew
//! is VALID like any other, so a list does not tell how many there are. The indexes of API keys have lists too: a key's public id
//! is its index.
//!
//! | file | does |
//! | --- | --- |
//! | `bits` | statuses → bytes → `lst` |
//! | `lists` | one list: from the database, signed, kept |
//! | `api` | HTTP |
//!
//! What it does not: bound how long a verifier goes on with what it has. It learns of a revocation after `ttl` at most, if it keeps
//! to it; the edge, after its own bound.

pub mod api;
mod bits;
mod lists;
#[cfg(test)]
mod tests;

pub use lists::Lists;
