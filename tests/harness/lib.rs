//! What the end-to-end tests, the development stack and the benchmark stand on.
//!
//! A [`Stack`] is the whole product in a temporary folder: the `portcullis` program, the Worker in bare workerd (hub and
//! gates as separate services), a demo API behind it. Product code is used as a black box; the only exception are tests
//! that forge credentials and frames, and those say so.
//!
//! Nothing here uses a fixed port, a fixed folder or a guessed waiting time.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a harness reports by panicking: that is what fails a test"
)]

mod callers;
mod control_plane;
mod dropper;
pub mod files;
pub mod http;
mod kv;
mod link;
pub mod lists;
mod origin;
pub mod person;
mod port;
mod postgres;
mod process;
pub mod scale;
mod secrets;
mod skew;
mod smtp;
mod spread;
mod stack;
pub mod storm;
pub mod usage;
pub mod wait;
mod workerd;

pub use callers::{Admin, Anon, Created, EdgeCaller};
pub use control_plane::{Bootstrap, ControlPlane, ControlPlaneConfig, LockWatch};
pub use dropper::Dropper;
pub use http::{Connection, Request, Response};
pub use kv::Kv;
pub use link::{Fate, Link, Push};
pub use origin::{Origin, Seen};
pub use person::Person;
pub use port::Port;
pub use process::Process;
pub use secrets::{Secrets, contains, files_below};
pub use skew::shifted;
pub use smtp::{Mail, MailServer};
pub use spread::{RegionProcess, Spread};
pub use stack::{Builder, Database, Stack, edge_vars};
pub use workerd::{Objects, Workerd, WorkerdConfig};
