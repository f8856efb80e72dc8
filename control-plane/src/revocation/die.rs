//! Where a test lets this process die: between two steps on the way from a commit to its receipt.
//!
//! Only a debug build knows these places; in a release build [`here`] is empty. A process that was started with
//! `TEST_PORTCULLIS_DIE_AT=<file>` ends, without a word to anybody, at the place whose name stands in that file. No file, no
//! end: so a test arms it when all is up, and starts the program again with the same environment.

/// A step that may be the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A change is committed; the publisher was not told.
    AfterCommit,
    /// It is in a frame; nobody was told.
    AfterFrame,
    /// The message with the frame is made, and not sent.
    BeforePush,
    /// The edge has answered; the answer was not looked at.
    AfterPush,
    /// The answer says that a region has it; that is not written down.
    BeforeAcknowledged,
    /// It is written down; nobody was told.
    AfterAcknowledged,
    /// The receipt is kept; it was not sent.
    AfterReceipt,
}

#[cfg(debug_assertions)]
impl Place {
    fn name(self) -> &'static str {
        match self {
            Self::AfterCommit => "after_commit",
            Self::AfterFrame => "after_frame",
            Self::BeforePush => "before_push",
            Self::AfterPush => "after_push",
            Self::BeforeAcknowledged => "before_acknowledged",
            Self::AfterAcknowledged => "after_acknowledged",
            Self::AfterReceipt => "after_receipt",
        }
    }
}

/// Ends the process, if a test wants it here: no destructor runs, nothing is flushed.
#[cfg(debug_assertions)]
pub(crate) fn here(place: Place) {
    let file = crate::config::environment_variable("TEST_PORTCULLIS_DIE_AT");
    let wanted = file.and_then(|file| std::fs::read_to_string(file).ok());
    if wanted.is_some_and(|wanted| wanted.trim() == place.name()) {
        std::process::abort();
    }
}

/// Nothing.
#[cfg(not(debug_assertions))]
pub(crate) fn here(_place: Place) {}
