//! The backup file: one text of the whole database that either engine reads.
//!
//! ```text
//! "PORTCULLISBACKUP" | u16 format | u32 length, header as JSON
//! block*: 1 | u32 length packed | u32 length plain | zlib( u16 table | u32 rows | row* )
//!         row: a field for each column of the table, in the header's order
//!         field: 0 (NULL) | 1 i64 | 2 u32 length, UTF-8 | 3 u32 length, bytes
//! end:    0 | SHA-256 of all that precedes it
//! ```
//!
//! Numbers are big-endian. What is here: writing and reading it in a few hundred kilobytes of memory, and refusing what was
//! cut off or altered by accident. What is not: protection against somebody who writes a file of their own. The digest has no
//! key, because a backup must outlive every key: keep it where only you can write.

use std::io::{Read, Write};

use aws_lc_rs::digest::{Context, SHA256};
use miniz_oxide::deflate::compress_to_vec_zlib;
use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;
use serde::{Deserialize, Serialize};

use super::BackupError;
use crate::store::copy::{Column, Row, Table, Value};

const MAGIC: &[u8; 16] = b"PORTCULLISBACKUP";
/// The only one there is.
const FORMAT: u16 = 1;
const MAX_HEADER: usize = 1 << 20;
/// A block has some 256 KiB and one row more; the largest rows are of 1 MiB.
const MAX_BLOCK: usize = 16 << 20;
const LEVEL: u8 = 6;
const BLOCK: u8 = 1;
const END: u8 = 0;

/// What a backup says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The number of the last migration of the database.
    pub schema: i64,
    /// Which engine it came from.
    pub engine: String,
    /// The program that wrote it.
    pub program: String,
    /// When, in Unix milliseconds.
    pub created_at: u64,
    /// Its tables, by name.
    pub tables: Vec<Contents>,
}

/// A table in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contents {
    /// Its name.
    pub name: String,
    /// Its columns, in the order of the fields.
    pub columns: Vec<Column>,
    /// How many rows.
    pub rows: u64,
    /// The last number that the table gave out.
    pub last_number: Option<i64>,
}

impl Header {
    /// How many rows there are in all.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }
}

/// Writes a backup.
pub(super) struct Writer<W> {
    out: W,
    digest: Context,
    bytes: u64,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(out: W, header: &Header) -> Result<Self, BackupError> {
        let mut writer = Self {
            out,
            digest: Context::new(&SHA256),
            bytes: 0,
        };
        let header = serde_json::to_vec(header).map_err(|_| BackupError::TooLarge("header"))?;
        if header.len() > MAX_HEADER {
            return Err(BackupError::TooLarge("header"));
        }
        writer.put(MAGIC)?;
        writer.put(&FORMAT.to_be_bytes())?;
        writer.put(&length(header.len(), "header")?)?;
        writer.put(&header)?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(self.out.write_all(bytes)?)
    }

    /// Some rows of the table with this place in the header.
    pub(super) fn rows(&mut self, table: usize, rows: &[Row]) -> Result<(), BackupError> {
        let table = u16::try_from(table).map_err(|_| BackupError::TooLarge("list of tables"))?;
        let mut plain = table.to_be_bytes().to_vec();
        plain.extend(length(rows.len(), "row")?);
        for value in rows.iter().flatten() {
            match value {
                Value::Null => plain.push(0),
                Value::Int(number) => {
                    plain.push(1);
                    plain.extend(number.to_be_bytes());
                }
                Value::Text(text) => {
                    plain.push(2);
                    plain.extend(length(text.len(), "row")?);
                    plain.extend(text.as_bytes());
                }
                Value::Bytes(bytes) => {
                    plain.push(3);
                    plain.extend(length(bytes.len(), "row")?);
                    plain.extend(bytes);
                }
            }
        }
        if plain.len() > MAX_BLOCK {
            return Err(BackupError::TooLarge("row"));
        }
        let packed = compress_to_vec_zlib(&plain, LEVEL);
        self.put(&[BLOCK])?;
        self.put(&length(packed.len(), "row")?)?;
        self.put(&length(plain.len(), "row")?)?;
        self.put(&packed)
    }

    /// The digest, and how many bytes there are in all.
    pub(super) fn finish(mut self) -> Result<(W, u64), BackupError> {
        self.put(&[END])?;
        let digest = self.digest.finish();
        self.out.write_all(digest.as_ref())?;
        self.out.flush()?;
        Ok((self.out, self.bytes + 32))
    }
}

fn length(length: usize, what: &'static str) -> Result<[u8; 4], BackupError> {
    u32::try_from(length)
        .map(u32::to_be_bytes)
        .map_err(|_| BackupError::TooLarge(what))
}

/// Reads a backup. Nothing that it gives counts until [`Reader::block`] has given `None`.
pub(super) struct Reader<R> {
    input: R,
    digest: Context,
    header: Header,
}

impl<R: Read> Reader<R> {
    pub(super) fn new(input: R) -> Result<Self, BackupError> {
        let mut reader = Self {
            input,
            digest: Context::new(&SHA256),
            header: Header {
                schema: 0,
                engine: String::new(),
                program: String::new(),
                created_at: 0,
                tables: Vec::new(),
            },
        };
        let mut magic = [0; 16];
        reader.take(&mut magic).map_err(|_| BackupError::NotABackup)?;
        if magic != *MAGIC {
            return Err(BackupError::NotABackup);
        }
        let mut format = [0; 2];
        reader.take(&mut format)?;
        let format = u16::from_be_bytes(format);
        if format != FORMAT {
            return Err(BackupError::UnknownFormat(format));
        }
        let header = reader.part(MAX_HEADER)?;
        reader.header =
            serde_json::from_slice(&header).map_err(|_| BackupError::Damaged("its header makes no sense"))?;
        Ok(reader)
    }

    /// What the backup says about itself.
    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// The next rows, and the place of their table; `None` after the last, when the digest was right.
    pub(super) fn block(&mut self) -> Result<Option<(usize, Vec<Row>)>, BackupError> {
        let mut kind = [0; 1];
        self.take(&mut kind)?;
        match kind {
            [BLOCK] => {}
            [END] => return self.end().map(|()| None),
            _ => return Err(BackupError::Damaged("a block is of no known kind")),
        }
        let packed = self.length(MAX_BLOCK)?;
        let plain = self.length(MAX_BLOCK)?;
        let mut bytes = vec![0; packed];
        self.take(&mut bytes)?;
        let unpacked = decompress_to_vec_zlib_with_limit(&bytes, plain)
            .ok()
            .filter(|unpacked| unpacked.len() == plain)
            .ok_or(BackupError::Damaged("a block does not unpack"))?;
        let (table, rows) =
            rows(&unpacked, &self.header).ok_or(BackupError::Damaged("a block holds no rows"))?;
        Ok(Some((table, rows)))
    }

    fn end(&mut self) -> Result<(), BackupError> {
        let computed = self.digest.clone().finish();
        let mut written = [0; 32];
        self.take(&mut written)?;
        if computed.as_ref() != written {
            return Err(BackupError::Damaged("its checksum is wrong"));
        }
        let mut more = [0; 1];
        match self.input.read(&mut more)? {
            0 => Ok(()),
            _ => Err(BackupError::Damaged("something follows its end")),
        }
    }

    fn take(&mut self, into: &mut [u8]) -> Result<(), BackupError> {
        self.input.read_exact(into).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => BackupError::Damaged("it ends too early"),
            _ => error.into(),
        })?;
        self.digest.update(into);
        Ok(())
    }

    fn length(&mut self, limit: usize) -> Result<usize, BackupError> {
        let mut length = [0; 4];
        self.take(&mut length)?;
        usize::try_from(u32::from_be_bytes(length))
            .ok()
            .filter(|length| *length <= limit)
            .ok_or(BackupError::Damaged("a length is too large"))
    }

    fn part(&mut self, limit: usize) -> Result<Vec<u8>, BackupError> {
        let mut part = vec![0; self.length(limit)?];
        self.take(&mut part)?;
        Ok(part)
    }
}

/// The rows of an unpacked block.
fn rows(mut bytes: &[u8], header: &Header) -> Option<(usize, Vec<Row>)> {
    let table = usize::from(u16::from_be_bytes(split(&mut bytes)?));
    let width = header.tables.get(table)?.columns.len();
    let count = u32::from_be_bytes(split(&mut bytes)?);
    let mut rows = Vec::new();
    for _ in 0..count {
        let mut row = Vec::with_capacity(width);
        for _ in 0..width {
            let [tag] = split(&mut bytes)?;
            row.push(match tag {
                0 => Value::Null,
                1 => Value::Int(i64::from_be_bytes(split(&mut bytes)?)),
                2 => Value::Text(String::from_utf8(sized(&mut bytes)?.to_vec()).ok()?),
                3 => Value::Bytes(sized(&mut bytes)?.to_vec()),
                _ => return None,
            });
        }
        rows.push(row);
    }
    bytes.is_empty().then_some((table, rows))
}

fn split<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

fn sized<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(u32::from_be_bytes(split(bytes)?)).ok()?;
    let (first, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(first)
}

/// The tables of a database as a header lists them.
pub(super) fn contents(table: &Table, rows: u64, last_number: Option<i64>) -> Contents {
    Contents {
        name: table.name.clone(),
        columns: table.columns.clone(),
        rows,
        last_number,
    }
}
