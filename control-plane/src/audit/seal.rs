//! The sealer: chains the rows that wait, some hundred in one transaction, and seals the heads that this leaves.
//!
//! Writers only add to what waits, so they never wait for each other or for this job. Of several sealers one works at a time: all
//! hold the same row first. A row that commits late is chained late; its place is what counts, not its time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::hmac;
use shared::crypto::{Digest, sha256};

use super::chain;
use crate::app::App;
use crate::signing::{Keyring, SigningError};
use crate::store::audit_chain::{ChainRow, SealHeadRow, SealRow, WaitingRow};
use crate::store::{StoreError, Tx, int};

/// Rows in one transaction.
const BATCH: u32 = 500;
/// Transactions in one run of the job.
const RUN: usize = 100;

/// The last seal that this process has seen: the database may not go back behind it.
#[derive(Debug, Default)]
pub struct Watch(Mutex<Option<(i64, Vec<u8>)>>);

impl Watch {
    pub(super) fn seen(&self) -> Option<(i64, Vec<u8>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, number: i64, head: &[u8]) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.as_ref().is_none_or(|(known, _)| *known < number) {
            *seen = Some((number, head.to_vec()));
        }
    }
}

/// The head of the seals, which rides in every heartbeat: zeros while nothing is sealed.
pub async fn head(tx: &mut Tx) -> Result<Digest, StoreError> {
    let Some((_, head)) = tx.last_seal().await? else {
        return Ok(Digest::default());
    };
    head.try_into().map_err(|_| StoreError::Corrupt("audit head"))
}

/// The job: chains what waits.
pub async fn seal_waiting(app: Arc<App>) -> anyhow::Result<()> {
    for _ in 0..RUN {
        if !app.store.begin_read().await?.has_waiting().await? {
            break;
        }
        let mut tx = app.store.begin().await?;
        let sealed = seal_batch(&mut tx, &app.keyring, int(app.clock.now().0)).await?;
        tx.commit().await?;
        if let Some((number, head, rows)) = sealed {
            app.audit.note(number, &head);
            metrics::counter!("portcullis_audit_sealed_total").increment(rows);
        }
    }
    Ok(())
}

pub(super) async fn seal_batch(
    tx: &mut Tx,
    keyring: &Keyring,
    now: i64,
) -> Result<Option<(i64, Digest, u64)>, SigningError> {
    let (last, before) = tx.hold_sealer().await?;
    let mut chains: BTreeMap<i64, Vec<WaitingRow>> = BTreeMap::new();
    let mut rows = 0u64;
    for row in tx.waiting(BATCH).await? {
        rows = rows.saturating_add(1);
        chains.entry(row.chain).or_default().push(row);
    }
    if rows == 0 {
        return Ok(None);
    }
    let number = last.saturating_add(1);
    let mut heads = Vec::with_capacity(chains.len());
    for (chain, waiting) in chains {
        let sealed = tx.sealed_up_to(chain).await?;
        let start = sealed.map_or((0, vec![0; 32]), |last| (last.position, last.head));
        let (mut position, mut head) = start.clone();
        for row in waiting {
            let digest = match row.digest {
                Some(digest) => digest,
                // Of an older release. One that is gone is noticed by whoever walks the chain.
                None => match tx.audit_row(row.audit_id).await? {
                    Some(row) => chain::row_digest(&row).to_vec(),
                    None => vec![0; 32],
                },
            };
            if !tx.is_chained(row.audit_id).await? {
                position = free_place(tx, chain, position).await?;
                head = chain::head(&head, position, now, &digest).to_vec();
                let next = ChainRow {
                    position,
                    audit_id: row.audit_id,
                    sealed_at: now,
                    head: head.clone(),
                };
                tx.insert_chained(chain, &next).await?;
            }
            tx.drop_waiting(row.audit_id).await?;
        }
        if position > start.0 {
            heads.push(SealHeadRow {
                chain,
                position,
                seal: number,
                head,
            });
        }
    }
    let head = chain::seal(&before, number, now, &heads);
    let key = mac_key(keyring)?;
    let seal = SealRow {
        number,
        sealed_at: now,
        head: head.to_vec(),
        mac_key: key.number.to_vec(),
        mac: hmac::sign(&key.key, &head).as_ref().to_vec(),
    };
    tx.insert_seal(&seal, &heads).await?;
    Ok(Some((number, head, rows)))
}

/// The place after one, unless somebody put something there by hand: no row of ours is lost to that, and whoever walks the chain
/// sees it.
async fn free_place(tx: &mut Tx, chain: i64, position: i64) -> Result<i64, StoreError> {
    let next = position.saturating_add(1);
    match tx.chain_head(chain, next).await? {
        None => Ok(next),
        Some(_) => Ok(tx
            .last_chained(chain)
            .await?
            .unwrap_or(position)
            .saturating_add(1)),
    }
}

/// A key that comes of the master key, and a number that says which, and nothing about it.
pub(super) struct MacKey {
    pub(super) key: hmac::Key,
    pub(super) number: [u8; 8],
}

pub(super) fn mac_key(keyring: &Keyring) -> Result<MacKey, SigningError> {
    let secret = keyring.derive("portcullis/audit-seal/v1")?;
    let named = sha256(&[b"portcullis/audit-seal-key/v1 ".as_slice(), secret.as_slice()].concat());
    let mut number = [0; 8];
    number.copy_from_slice(named.split_at(8).0);
    Ok(MacKey {
        key: hmac::Key::new(hmac::HMAC_SHA256, secret.as_slice()),
        number,
    })
}
