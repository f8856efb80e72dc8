//! Every way to revoke besides the `DELETE` of one key: grants, clients, users, sessions, organisations, signing keys, issuers,
//! all that match, and the holder's own.
//!
//! | file | does |
//! | --- | --- |
//! | `why` | reasons in the words of RFC 5280, causes, comments |
//! | `target` | what can be revoked, by its name |
//! | `one` | one target: what dies with it, and what the edge is told |
//! | `matching` | all credentials that match a filter, in one transaction |
//! | `workspace` | all that is bound to a workspace |
//! | `write` | the end of many credentials: bits, outbox, receipt, audit |
//! | `local` | what only the operator at the machine may revoke: signing keys, and the installation's own issuer |
//! | `index` | whatever credential has a status index |
//! | `possession` | `POST /v1/auth/self-revoke` |
//! | `rules` | who may revoke what |
//! | `api` | `/v1/revocations` |
//!
//! A target that goes on living (a client, a person, an organisation, an issuer) gets a `not_before`: `max(now, last_iat)` on
//! the row that its issues are dated by, so that none of a skewed or second instance slips through. What is known to be
//! alive is revoked by its status index besides, for good. Everything is one transaction that holds the organisation.
//!
//! What it does not: tell the edge (`revocation` does, from the outbox), or revoke one key (`keys` does).

pub mod api;
mod index;
pub(crate) mod local;
mod matching;
mod one;
pub mod possession;
mod rules;
mod target;
#[cfg(test)]
mod tests;
mod why;
pub(crate) mod workspace;
mod write;

pub(crate) use index::end_index;
pub use one::{Answer, SingleReceipt};
pub(crate) use one::{Request, revoke as revoke_target};
pub(crate) use target::Target;
pub use why::{Cause, Reason};
pub(crate) use why::{Why, comment};
pub use workspace::Ended;
pub use write::RevocationReceipt;
