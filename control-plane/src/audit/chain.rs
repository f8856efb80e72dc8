//! What the chain is made of. Every digest is SHA-256 over a label, then the fields: numbers as 8 bytes, texts with their length
//! before them, what may be absent after a byte that says whether it is there.
//!
//! ```text
//! detail   = "portcullis/audit-detail/v1" | salt? | detail
//! sealed   = "portcullis/audit-sealed/v1" | bytes              of `personal` and of `address`
//! row      = "portcullis/audit-row/v1" | id | at | chain | org | actor | credential? | action | target | request id?
//!            | detail (32) | sealed personal? (32) | sealed address? (32)
//! head     = "portcullis/audit-head/v1" | head before (32) | position | sealed at | row (32)        zeros before the first
//! seal     = "portcullis/audit-seal/v1" | seal before (32) | number | sealed at | for each chain: chain | position | head (32)
//! ```
//!
//! The detail comes in as a salted digest, and what is sealed as ciphertext: either can be dropped later, its digest kept in its
//! place, and the row still says what it said.

use shared::crypto::{Digest, sha256};

use crate::store::audit::AuditRow;
use crate::store::audit_chain::SealHeadRow;

/// The first byte of something sealed, and of what is left once it was dropped.
pub(crate) const SEALED: u8 = 1;
pub(crate) const DROPPED: u8 = 0;

struct Message(Vec<u8>);

impl Message {
    fn new(label: &str) -> Self {
        Self(label.as_bytes().to_vec())
    }

    fn number(mut self, number: i64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    fn bytes(self, bytes: &[u8]) -> Self {
        let mut message = self.number(i64::try_from(bytes.len()).unwrap_or(i64::MAX));
        message.0.extend_from_slice(bytes);
        message
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn perhaps(mut self, bytes: Option<&[u8]>) -> Self {
        self.0.push(u8::from(bytes.is_some()));
        match bytes {
            Some(bytes) => self.bytes(bytes),
            None => self,
        }
    }

    fn digest(&self) -> Digest {
        sha256(&self.0)
    }
}

/// Of a detail that is there, or was.
pub(crate) fn detail_digest(row: &AuditRow) -> Vec<u8> {
    if let Some(digest) = &row.detail_digest {
        // With a text beside it, it is not what was left of one.
        let dropped = row.detail.is_empty() && row.salt.is_none();
        return if dropped { digest.clone() } else { Vec::new() };
    }
    Message::new("portcullis/audit-detail/v1")
        .perhaps(row.salt.as_deref())
        .bytes(row.detail.as_bytes())
        .digest()
        .to_vec()
}

/// Of something sealed that is there, or was.
pub(crate) fn sealed_digest(bytes: &[u8]) -> Vec<u8> {
    match bytes.split_first() {
        Some((&DROPPED, digest)) if digest.len() == 32 => digest.to_vec(),
        _ => Message::new("portcullis/audit-sealed/v1")
            .bytes(bytes)
            .digest()
            .to_vec(),
    }
}

/// What is left of something sealed.
pub(crate) fn dropped(bytes: &[u8]) -> Vec<u8> {
    let mut left = vec![DROPPED];
    left.extend_from_slice(&sealed_digest(bytes));
    left
}

/// Whether something of a row was dropped: its detail, its address.
pub(crate) fn is_trimmed(row: &AuditRow) -> (bool, bool) {
    let gone = |bytes: &Option<Vec<u8>>| {
        bytes
            .as_ref()
            .is_some_and(|bytes| bytes.first() == Some(&DROPPED))
    };
    (
        row.detail_digest.is_some() || gone(&row.personal),
        gone(&row.address),
    )
}

/// Of what a row says.
pub(crate) fn row_digest(row: &AuditRow) -> Digest {
    let (personal, address) = (
        row.personal.as_deref().map(sealed_digest),
        row.address.as_deref().map(sealed_digest),
    );
    Message::new("portcullis/audit-row/v1")
        .number(row.id)
        .number(row.at)
        .number(row.chain)
        .number(row.org_id.unwrap_or(0))
        .bytes(row.actor.as_bytes())
        .perhaps(row.credential.as_deref().map(str::as_bytes))
        .bytes(row.action.as_bytes())
        .bytes(row.target.as_bytes())
        .perhaps(row.request_id.as_deref().map(str::as_bytes))
        .bytes(&detail_digest(row))
        .perhaps(personal.as_deref())
        .perhaps(address.as_deref())
        .digest()
}

/// The head after a row.
pub(crate) fn head(before: &[u8], position: i64, sealed_at: i64, row: &[u8]) -> Digest {
    Message::new("portcullis/audit-head/v1")
        .raw(before)
        .number(position)
        .number(sealed_at)
        .raw(row)
        .digest()
}

/// The head of the seals after one of them. The heads come in the order of their chains.
pub(crate) fn seal(before: &[u8], number: i64, sealed_at: i64, heads: &[SealHeadRow]) -> Digest {
    let mut message = Message::new("portcullis/audit-seal/v1")
        .raw(before)
        .number(number)
        .number(sealed_at);
    for head in heads {
        message = message.number(head.chain).number(head.position).raw(&head.head);
    }
    message.digest()
}
