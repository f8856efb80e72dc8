//! What all endpoints share: the frame around every request, extractors, caps, times as text, health.
//!
//! What it does not: rules of any feature.

pub mod address;
pub mod admission;
pub mod auth;
pub mod budget;
pub mod fetch;
pub mod frame;
pub mod health;
pub mod idempotency;
pub mod json;
pub mod limit;
pub mod paging;
pub mod tag;
pub mod time;
pub mod wait;
