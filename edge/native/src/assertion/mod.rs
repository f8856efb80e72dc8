//! The gateway's word to an origin (see `shared::assertion`): [`AssertionVerifier`] checks it, [`AssertionSigner`] gives it.

mod sign;
mod verify;

pub use sign::AssertionSigner;
pub use verify::{AssertionVerifier, Unverified};
