//! Status indexes: blocks of 2^20 handed out in order, and numbers drawn from them at random.
//!
//! A number is drawn only from a block that the feed has announced and, once any edge has ever acknowledged anything,
//! every edge has acknowledged that admits its organisation: so a credential works at once, with no look-up. A block that nothing is drawn from any more is
//! retired when all that came from it has ended. What it does not: revoke (`revocation`).

use shared::feed::{Block, Entry};
use shared::id::{SigningKeyId, StatusIndex};
use shared::time::{UnixMillis, UnixSeconds};

use super::{Purpose, SigningError};
use crate::random::Random;
use crate::revocation::{self, Reach};
use crate::store::signing::BlockRow;
use crate::store::{StoreError, Tx, int, uint};

/// The block in use, and two to spare.
pub(crate) const SPARE_BLOCKS: usize = 3;
/// So many collisions in a row mean that a block is more than half full: then it is closed.
const MAX_COLLISIONS: u32 = 24;
/// How long after its end a token's index is still remembered.
const REMEMBER_SECONDS: u64 = 24 * 3600;

/// Draws an index for a credential of this purpose and of these organisations, and names the key that must sign it. Nobody else
/// has the index or ever will. `expires` only for credentials that are forgotten afterwards.
pub async fn draw_index(
    tx: &mut Tx,
    purpose: Purpose,
    of: &Reach,
    expires: Option<UnixSeconds>,
    random: &Random,
    now: UnixMillis,
) -> Result<(SigningKeyId, StatusIndex), SigningError> {
    let key = tx
        .active_signing_key(purpose.as_str())
        .await?
        .ok_or(SigningError::NoSigner(purpose))?;
    let blocks = tx.open_index_blocks(key).await?;
    if blocks.len() < SPARE_BLOCKS {
        allocate_blocks(tx, key, SPARE_BLOCKS - blocks.len(), now).await?;
    }
    for block in blocks {
        let Some(announced_by) = block.announced_by else {
            continue;
        };
        let acknowledged = match of {
            Reach::All => tx.is_acknowledged(announced_by).await?,
            Reach::Orgs(orgs) => tx.is_acknowledged_for(announced_by, orgs).await?,
        };
        if !acknowledged {
            continue;
        }
        let (start, length) = (
            uint(block.start, "index block")?,
            uint(block.length, "index block")?,
        );
        for _ in 0..MAX_COLLISIONS {
            let number = start.saturating_add(random.below(length)?);
            let index = StatusIndex::from_u64(number).ok_or(StoreError::Corrupt("index block"))?;
            if tx.take_index(index, block.start, expires, now).await? {
                return Ok((key, index));
            }
        }
        tx.close_index_block(block.start, now).await?;
    }
    Err(SigningError::NoIndex(purpose))
}

/// Hands the next blocks to a key and announces them; gives the last outbox row, if another instance was not faster.
pub(crate) async fn allocate_blocks(
    tx: &mut Tx,
    key: SigningKeyId,
    count: usize,
    now: UnixMillis,
) -> Result<Option<i64>, SigningError> {
    let mut announced_by = None;
    for _ in 0..count {
        let start = tx.next_block_start().await?;
        let row = BlockRow {
            start: int(start),
            length: int(StatusIndex::LIST_LENGTH),
            signing_key: int(key.get()),
            announced_by: None,
            closed_at: None,
        };
        if !tx.insert_index_block(&row, now).await? {
            break;
        }
        let start = StatusIndex::from_u64(start).ok_or(StoreError::Corrupt("index block"))?;
        let entry = Entry::Block(Block {
            start,
            length: StatusIndex::LIST_LENGTH,
            signing_key: key,
        });
        let outbox =
            revocation::enqueue(tx, &Reach::All, &format!("block:{}", start.list()), &entry, now).await?;
        tx.announce_index_block(row.start, outbox).await?;
        announced_by = Some(outbox);
    }
    Ok(announced_by)
}

/// Gives every signer the blocks that it should have.
pub(crate) async fn ensure_blocks(tx: &mut Tx, now: UnixMillis) -> Result<(), SigningError> {
    for purpose in Purpose::ISSUING {
        let key = tx
            .active_signing_key(purpose.as_str())
            .await?
            .ok_or(SigningError::NoSigner(purpose))?;
        let open = tx.open_index_blocks(key).await?.len();
        allocate_blocks(tx, key, SPARE_BLOCKS.saturating_sub(open), now).await?;
    }
    Ok(())
}

/// Forgets the indexes of tokens that ended long ago. A job.
pub async fn prune_indexes(tx: &mut Tx, now: UnixMillis) -> Result<u64, StoreError> {
    tx.forget_expired_indexes(now.seconds().saturating_sub(REMEMBER_SECONDS))
        .await
}

/// Retires every closed block in which nothing has lived for a day: the edge then forgets its revocations one by one, and
/// refuses the whole list. A job; gives how many. After the commit, wake the feed.
pub async fn retire_blocks(tx: &mut Tx, now: UnixMillis) -> Result<u64, StoreError> {
    let ended_before = now.seconds().saturating_sub(REMEMBER_SECONDS);
    let mut retired = 0;
    for start in tx
        .lifeless_index_blocks(ended_before.millis(), ended_before)
        .await?
    {
        let first = StatusIndex::from_u64(uint(start, "index block")?);
        let list = first.ok_or(StoreError::Corrupt("index block"))?.list();
        if tx.retire_index_block(start, now).await? {
            let entry = Entry::Retired(vec![(list, list)]);
            revocation::enqueue(tx, &Reach::All, &format!("block:{list}"), &entry, now).await?;
            retired += 1;
        }
    }
    Ok(retired)
}
