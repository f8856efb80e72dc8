//! Usage: what one isolate counted, on its way to the control plane.
//!
//! An isolate counts in *windows*, numbered from 1. When one opens it says so ([`Opening`]), unless the batch before has said
//! it; when it closes its counts follow ([`Batch`]). So a window that was announced and never came is known to be lost, and
//! a number that never came is a gap. Hub and regions keep such records until they are acknowledged, and hand them on in
//! parcels ([`Parcel`]); a record is applied once per (isolate, number), however often it comes.
//!
//! ```text
//! record = 01                version
//!          u8                0 = opening, 1 = batch
//!          16 bytes          isolate id, random at its start
//!          varint            number of the window, from 1
//!          varint            when it opened, milliseconds since 1970 (isolate's clock)
//! and of a batch:
//!          varint            how many milliseconds it was open
//!          u8                1 = the next window is open and will be closed, 0 = nothing is open
//!          varint            requests that were not counted in detail: there was no room
//!          bytes             data centre, at most 8 letters and digits; empty if the platform does not say
//!          varint            number of classes, then each: bytes, 1 to 64      sorted, each used
//!          varint            number of reasons, then each: bytes, 1 to 40      sorted, each used
//!          varint            number of counts, then each:                      sorted, each once
//!            u8              whose: 0 = no proven credential
//!                              1 = an API key: varint status index
//!                              2 = an access token: varint status index, varint org, bytes client id
//!                              3 = a token of a foreign issuer: varint org, bytes name
//!            varint          class: 0 = no route matched, n = the nth of the list
//!            varint          reason: the nth of the list, from 0
//!            bytes           country: two capital letters or digits, or empty
//!            varint          requests, at least 1
//!            varint          last use, milliseconds after the window opened
//! ```
//!
//! Reasons are words, not numbers: a control plane that is older than an edge must not lose what it does not know.

mod parcel;
#[cfg(test)]
mod tests;

pub use parcel::{Collect, Parcel, join_records, split_records};

use crate::id::{LIMIT, OrgId, StatusIndex};
use crate::time::UnixMillis;
use crate::wire::{Malformed, Reader, Writer};

const VERSION: u8 = 1;
const OPENING: u8 = 0;
const BATCH: u8 = 1;
/// The largest number of counts in one batch.
pub const MAX_COUNTS: usize = 16_384;
/// The most bytes of a record: what one row of a Durable Object's SQL holds with room to spare.
pub const MAX_RECORD: usize = 1 << 20;
/// No record is shorter.
pub const MIN_RECORD: usize = 20;
/// The longest client id or foreign name as it is; longer ones are named by their digest.
pub const MAX_NAME: usize = 256;
/// The longest name of a route class.
pub const MAX_CLASS: usize = 64;
const MAX_REASON: usize = 40;
const MAX_COLO: usize = 8;
/// Requests in one count: sums of them never leave 64 bits.
const MAX_REQUESTS: u64 = 1 << 40;
/// A window is open for seconds; a day is a clock that jumped.
const MAX_OPEN_MS: u64 = 24 * 3600 * 1000;
/// The class of a route that names none.
pub const DEFAULT_CLASS: &str = "default";

/// What an isolate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A window is open, and will be closed.
    Opening(Opening),
    /// A window is closed, and this is what was counted in it.
    Batch(Batch),
}

/// A window that has opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Which isolate.
    pub isolate: [u8; 16],
    /// Which of its windows, from 1.
    pub number: u64,
    /// When it opened.
    pub from: UnixMillis,
}

/// Counts of one isolate over one window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Which isolate.
    pub isolate: [u8; 16],
    /// Which of its windows, from 1.
    pub number: u64,
    /// When it opened.
    pub from: UnixMillis,
    /// When it closed.
    pub to: UnixMillis,
    /// Whether the next window is open.
    pub next_open: bool,
    /// Requests that were not counted in detail.
    pub uncounted: u64,
    /// The data centre, or nothing.
    pub colo: String,
    /// The counts, sorted, without duplicates.
    pub counts: Vec<Count>,
}

/// Whose requests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    /// Nobody's who was proven.
    None,
    /// An API key's.
    Key(StatusIndex),
    /// An access token's.
    Token {
        /// Of its grant, or its own.
        index: StatusIndex,
        /// Its organisation.
        org: OrgId,
        /// The client that it was issued to.
        client: String,
    },
    /// A token's of an issuer that is not ours.
    Foreign {
        /// The organisation that trusts the issuer.
        org: OrgId,
        /// Issuer and subject: see [`Holder::foreign`].
        name: String,
    },
}

impl Holder {
    /// The holder of an access token of ours.
    pub fn token(index: StatusIndex, org: OrgId, client: &str) -> Self {
        Self::Token {
            index,
            org,
            client: name(client),
        }
    }

    /// The holder of a foreign issuer's token: the issuer, a space, and the token's subject.
    pub fn foreign(org: OrgId, issuer: &str, subject: &str) -> Self {
        Self::Foreign {
            org,
            name: name(&format!("{issuer} {subject}")),
        }
    }
}

/// A text that fits: itself, or its digest.
fn name(text: &str) -> String {
    if (1..=MAX_NAME).contains(&text.len()) && !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    let digest = crate::crypto::sha256(text.as_bytes());
    format!("sha256:{}", crate::crypto::base64url(&digest))
}

/// Requests with one credential, one route class, one outcome and from one country.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// Whose.
    pub holder: Holder,
    /// The route's class in the policy; `None`: no route matched.
    pub class: Option<String>,
    /// How they ended: a code of [`crate::verdict::Reason`], or of a later release's.
    pub reason: String,
    /// The caller's country, two letters, or nothing.
    pub country: String,
    /// How many, at least 1.
    pub requests: u64,
    /// When the last one came.
    pub last: UnixMillis,
}

impl Count {
    /// What there is one count of.
    pub fn key(&self) -> (&Holder, Option<&str>, &str, &str) {
        (&self.holder, self.class.as_deref(), &self.reason, &self.country)
    }
}

impl Record {
    /// Which isolate.
    pub fn isolate(&self) -> [u8; 16] {
        match self {
            Self::Opening(opening) => opening.isolate,
            Self::Batch(batch) => batch.isolate,
        }
    }

    /// Which of its windows.
    pub fn number(&self) -> u64 {
        match self {
            Self::Opening(opening) => opening.number,
            Self::Batch(batch) => batch.number,
        }
    }
}

/// The bytes of an opening.
pub fn encode_opening(opening: &Opening) -> Vec<u8> {
    front(OPENING, &opening.isolate, opening.number, opening.from).finish()
}

fn front(kind: u8, isolate: &[u8; 16], number: u64, from: UnixMillis) -> Writer {
    let mut writer = Writer::new();
    writer
        .u8(VERSION)
        .u8(kind)
        .raw(isolate)
        .varint(number)
        .varint(from.0);
    writer
}

/// The bytes of a batch whose counts are sorted by [`Count::key`].
pub fn encode(batch: &Batch) -> Vec<u8> {
    let mut classes: Vec<&str> = batch
        .counts
        .iter()
        .filter_map(|count| count.class.as_deref())
        .collect();
    let mut reasons: Vec<&str> = batch.counts.iter().map(|count| count.reason.as_str()).collect();
    for list in [&mut classes, &mut reasons] {
        list.sort_unstable();
        list.dedup();
    }
    let mut writer = front(BATCH, &batch.isolate, batch.number, batch.from);
    writer
        .varint(batch.to.since(batch.from))
        .u8(u8::from(batch.next_open))
        .varint(batch.uncounted)
        .bytes(batch.colo.as_bytes());
    for list in [&classes, &reasons] {
        writer.varint(list.len() as u64);
        for text in list {
            writer.bytes(text.as_bytes());
        }
    }
    let place = |list: &[&str], text: &str| list.binary_search(&text).unwrap_or(0) as u64;
    writer.varint(batch.counts.len() as u64);
    for count in &batch.counts {
        write_holder(&mut writer, &count.holder);
        let class = count.class.as_deref();
        writer
            .varint(class.map_or(0, |class| place(&classes, class).saturating_add(1)))
            .varint(place(&reasons, &count.reason))
            .bytes(count.country.as_bytes())
            .varint(count.requests)
            .varint(count.last.since(batch.from));
    }
    writer.finish()
}

fn write_holder(writer: &mut Writer, holder: &Holder) {
    match holder {
        Holder::None => writer.u8(0),
        Holder::Key(index) => writer.u8(1).varint(index.get()),
        Holder::Token { index, org, client } => writer
            .u8(2)
            .varint(index.get())
            .varint(org.get())
            .bytes(client.as_bytes()),
        Holder::Foreign { org, name } => writer.u8(3).varint(org.get()).bytes(name.as_bytes()),
    };
}

/// The record behind bytes; refuses anything that [`encode`] and [`encode_opening`] would not have made.
pub fn decode(bytes: &[u8]) -> Result<Record, Malformed> {
    if bytes.len() > MAX_RECORD {
        return Err(Malformed);
    }
    let mut reader = Reader::new(bytes);
    reader.expect_u8(VERSION)?;
    let kind = reader.u8()?;
    let isolate = reader.array()?;
    let (number, from) = (below(&mut reader, LIMIT)?, UnixMillis(below(&mut reader, LIMIT)?));
    if number == 0 {
        return Err(Malformed);
    }
    match kind {
        OPENING => {
            reader.end()?;
            Ok(Record::Opening(Opening {
                isolate,
                number,
                from,
            }))
        }
        BATCH => decode_batch(reader, isolate, number, from).map(Record::Batch),
        _ => Err(Malformed),
    }
}

fn decode_batch(
    mut reader: Reader<'_>,
    isolate: [u8; 16],
    number: u64,
    from: UnixMillis,
) -> Result<Batch, Malformed> {
    let to = from.saturating_add(below(&mut reader, MAX_OPEN_MS)?);
    let next_open = match reader.u8()? {
        0 => false,
        1 => true,
        _ => return Err(Malformed),
    };
    let uncounted = below(&mut reader, MAX_REQUESTS)?;
    let colo = word(&mut reader, 0, MAX_COLO, |b| {
        b.is_ascii_uppercase() || b.is_ascii_digit()
    })?;
    let classes = list(&mut reader, MAX_CLASS, is_class_byte)?;
    let reasons = list(&mut reader, MAX_REASON, |b| b.is_ascii_lowercase() || b == b'_')?;
    let mut used = (vec![false; classes.len()], vec![false; reasons.len()]);
    let length = usize::try_from(reader.varint()?).map_err(|_| Malformed)?;
    if length > MAX_COUNTS {
        return Err(Malformed);
    }
    let mut counts: Vec<Count> = Vec::new();
    for _ in 0..length {
        let holder = read_holder(&mut reader)?;
        let class = match reader.varint()? {
            0 => None,
            nth => Some(pick(&classes, &mut used.0, nth.saturating_sub(1))?),
        };
        let nth = reader.varint()?;
        let reason = pick(&reasons, &mut used.1, nth)?;
        let country = word(&mut reader, 0, 2, |b| {
            b.is_ascii_uppercase() || b.is_ascii_digit()
        })?;
        let requests = below(&mut reader, MAX_REQUESTS)?;
        let count = Count {
            holder,
            class,
            reason,
            country,
            requests,
            last: from.saturating_add(below(&mut reader, MAX_OPEN_MS)?),
        };
        let sorted = counts.last().is_none_or(|before| before.key() < count.key());
        if requests == 0 || count.country.len() == 1 || !sorted {
            return Err(Malformed);
        }
        counts.push(count);
    }
    reader.end()?;
    if used.0.contains(&false) || used.1.contains(&false) {
        return Err(Malformed);
    }
    Ok(Batch {
        isolate,
        number,
        from,
        to,
        next_open,
        uncounted,
        colo,
        counts,
    })
}

fn below(reader: &mut Reader<'_>, limit: u64) -> Result<u64, Malformed> {
    let number = reader.varint()?;
    if number < limit {
        Ok(number)
    } else {
        Err(Malformed)
    }
}

/// Whether a route class may be written so.
pub fn is_class(class: &str) -> bool {
    (1..=MAX_CLASS).contains(&class.len()) && class.bytes().all(is_class_byte)
}

fn is_class_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':')
}

fn word(
    reader: &mut Reader<'_>,
    least: usize,
    most: usize,
    sound: impl Fn(u8) -> bool,
) -> Result<String, Malformed> {
    let text = reader.text(most)?;
    if text.len() < least || !text.bytes().all(sound) {
        return Err(Malformed);
    }
    Ok(text.to_owned())
}

fn list(
    reader: &mut Reader<'_>,
    longest: usize,
    sound: impl Fn(u8) -> bool,
) -> Result<Vec<String>, Malformed> {
    let length = usize::try_from(reader.varint()?).map_err(|_| Malformed)?;
    if length > MAX_COUNTS {
        return Err(Malformed);
    }
    let mut texts: Vec<String> = Vec::new();
    for _ in 0..length {
        let text = word(reader, 1, longest, &sound)?;
        if texts.last().is_some_and(|before| *before >= text) {
            return Err(Malformed);
        }
        texts.push(text);
    }
    Ok(texts)
}

fn pick(texts: &[String], used: &mut [bool], nth: u64) -> Result<String, Malformed> {
    let nth = usize::try_from(nth).map_err(|_| Malformed)?;
    *used.get_mut(nth).ok_or(Malformed)? = true;
    texts.get(nth).cloned().ok_or(Malformed)
}

fn read_holder(reader: &mut Reader<'_>) -> Result<Holder, Malformed> {
    let kind = reader.u8()?;
    let mut index = || StatusIndex::from_u64(reader.varint()?).ok_or(Malformed);
    match kind {
        0 => Ok(Holder::None),
        1 => Ok(Holder::Key(index()?)),
        2 => Ok(Holder::Token {
            index: index()?,
            org: org(reader)?,
            client: named(reader)?,
        }),
        3 => Ok(Holder::Foreign {
            org: org(reader)?,
            name: named(reader)?,
        }),
        _ => Err(Malformed),
    }
}

fn org(reader: &mut Reader<'_>) -> Result<OrgId, Malformed> {
    OrgId::from_u64(reader.varint()?).ok_or(Malformed)
}

/// As [`name`] makes them.
fn named(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    let text = reader.text(MAX_NAME)?;
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(Malformed);
    }
    Ok(text.to_owned())
}
