//! Randomness: for the key of the memory of statements, and the names of requests.

/// Random bytes; an error means that the machine has none, and then nothing may go on.
pub(crate) fn bytes() -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(bytes)
}

/// A new name for a request. Not a secret: should the machine have no randomness, it is the same for all.
pub(crate) fn request_id() -> String {
    hex::encode(bytes().unwrap_or_default())
}
