//! The gate on a server of your own: the decisions of the edge, in a native process.
//!
//! - [`PortcullisLayer`]: a `tower` layer for origins (axum and others). It checks the gateway's signed word, or judges credentials
//!   itself.
//! - [`Gate`]: the gate of a process. It fetches the feed from the control plane (pull mode), verifies every frame against the pinned
//!   root key, knows how old its copy is, and refuses rather than guess.
//! - [`server`]: what `portcullis gate` runs: a reverse proxy, and the endpoints by which nginx, Traefik, Caddy and Envoy ask.
//! - [`validator`]: the pure functions below all of that, the same bytes as in the Worker.
//!
//! What it does not: decide anything by itself (the crates `edge` and `shared` do, which know no network and no clock), count usage,
//! or enforce rate limits of the policy: those are the Worker's.

mod answer;
mod assertion;
mod client;
mod clock;
pub mod es512;
mod feed;
mod gate;
mod headers;
mod identity;
mod layer;
mod question;
mod random;
pub mod server;
mod settings;
#[cfg(test)]
mod testing;

pub use answer::{Body, BoxError};
pub use assertion::{AssertionSigner, AssertionVerifier, Unverified};
pub use edge::library::{Allowed, HeaderPairs, Question, Refused, RouteFacts};
pub use edge::validator;
pub use gate::{Decision, Gate};
pub use identity::Identity;
pub use layer::{Portcullis, PortcullisLayer};
pub use secrecy::SecretString;
pub use settings::{Settings, SettingsError};
