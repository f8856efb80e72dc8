//! An edge that knows more than this database (a restored backup, a power loss, a lost replica), and new epochs.
//!
//! Taking over: fetch and verify all that the edge holds, join it with our own state, write every restriction of it into
//! the database, and open a new epoch with a snapshot that holds both. Nothing that the edge refused is ever let in again.
//! A credential that the database does not know can be neither listed nor revoked, so none is left alive: in every index
//! block the indexes without a row are revoked, known blocks are closed, new ones are allocated past all that was seen.
//!
//! What it does not: bring back rows that are gone (names, masks, who made a key).

use std::collections::BTreeSet;

use serde_json::json;
use shared::feed::{
    Block, Entry, EnvelopeType, FetchRequest, Head, KeyRef, MAX_REVOKED, Refusal, Replica, Snapshot, State,
    Subject, split_message,
};
use shared::id::{KeyId, SessionId, SigningKeyId, StatusIndex};
use shared::time::UnixMillis;

use super::frame::{self, Pen, position};
use super::link::{Standing, standing};
use super::{FeedError, Reach, edge_api, enqueue, groups, incarnation, pinned, policy, snapshot};
use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::config::Edge;
use crate::signing::{self, SigningError};
use crate::store::feed::{FeedNo, Position};
use crate::store::groups::Group;
use crate::store::keys::Revoked;
use crate::store::orgs::Role;
use crate::store::signing::{BlockRow, SigningKeyRow};
use crate::store::{StoreError, Tx, int, uint};
use crate::{issuers, keys, orgs};

/// How far beyond everything seen an epoch opens. Whoever holds a stolen feed key goes on adding frames to the old epoch while
/// we open the next: an opening that the edge has passed meanwhile would be refused, and the race begins again.
const EPOCH_STRIDE: u64 = 1 << 20;
/// Answers to a fetch past the place where the edge was when we began.
const MAX_MORE: u32 = 8;

/// Opens a new epoch with the state as it is; gives its number. For an operator who wants every edge to start afresh.
pub async fn recover(app: &App, actor: &Actor) -> Result<u64, FeedError> {
    let _one_at_a_time = app.feed.0.recovery.lock().await;
    let mut tx = app.store.begin().await?;
    frame::lock(&mut tx).await?;
    incarnation::check(&mut tx, &app.config).await?;
    let epoch = reopen(&mut tx, app, actor, "feed.recover").await?;
    tx.commit().await?;
    app.feed.wake();
    Ok(epoch)
}

/// Makes this database the one that publishes: a new incarnation, here and in the file beside it, and a new epoch, which
/// older copies cannot continue.
pub async fn take_over(app: &App, actor: &Actor) -> Result<u64, FeedError> {
    let _one_at_a_time = app.feed.0.recovery.lock().await;
    let incarnation: [u8; 16] = app.random.bytes().map_err(SigningError::from)?;
    let mut tx = app.store.begin().await?;
    // A database that was moved takes no writes; this is how it comes back.
    if tx.moved_to().await?.is_some() {
        tx.accept_writes().await?;
        tx.unmark_moved().await?;
    }
    frame::lock(&mut tx).await?;
    tx.set_incarnation(incarnation).await?;
    let epoch = reopen(&mut tx, app, actor, "feed.take_over").await?;
    // Before the commit: if one of the two is missing after a crash, nobody publishes until this is done again.
    incarnation::write(&app.config.incarnation_path(), incarnation)?;
    tx.commit().await?;
    app.feed.wake();
    Ok(epoch)
}

/// Everything of a new epoch but the commit. The caller holds the lock.
pub(super) async fn reopen(
    tx: &mut Tx,
    app: &App,
    actor: &Actor,
    action: &'static str,
) -> Result<u64, FeedError> {
    let own = snapshot::rebuild(tx, &app.keyring, FeedNo::ALL).await?;
    let groups = groups::own_states(tx, &app.keyring).await?;
    let head = frame::head(tx).await?;
    let opening = Opening {
        state: own.state().clone(),
        groups,
        epoch: head.epoch + 1,
        seq: head.seq + EPOCH_STRIDE,
        from: head.epoch,
    };
    open_epoch(tx, app, opening, actor, action).await.map(drop)?;
    Ok(head.epoch + 1)
}

pub(super) struct Opening {
    /// Of all organisations.
    pub(super) state: State,
    /// What each group's edges know besides.
    pub(super) groups: Vec<(Group, State)>,
    pub(super) epoch: u64,
    pub(super) seq: u64,
    /// The epoch that ends.
    pub(super) from: u64,
}

/// Takes over what an edge holds and we do not. Nothing happens if another instance did it meanwhile.
pub(super) async fn absorb(app: &App, edge: &Edge, theirs: Head) -> Result<(), FeedError> {
    let _one_at_a_time = app.feed.0.recovery.lock().await;
    let mut tx = app.store.begin_read().await?;
    let feed = groups::feed_of(&mut tx, edge).await?;
    if !is_stranger(&mut tx, feed, theirs).await? {
        return Ok(());
    }
    drop(tx);
    tracing::warn!(
        edge = edge.name,
        epoch = theirs.epoch,
        seq = theirs.seq,
        "the edge knows more than this database"
    );
    let other = fetch(app, edge, feed, position(theirs)).await?;
    let found = other
        .head()
        .ok_or_else(|| FeedError::Edge("the edge gave an empty feed to a fetch".to_owned()))?;
    let now = app.clock.now();

    let mut tx = app.store.begin().await?;
    frame::lock(&mut tx).await?;
    incarnation::check(&mut tx, &app.config).await?;
    if !is_stranger(&mut tx, feed, theirs).await? {
        return Ok(());
    }
    // What it says of its head is its own word, what it holds is ours. If that is less, or we know all of it, there is nothing to
    // take over.
    if position(found) < position(theirs) || !is_stranger(&mut tx, feed, found).await? {
        return Err(FeedError::Edge(
            "the edge names a head that what it holds does not bear out".to_owned(),
        ));
    }
    let own = snapshot::rebuild(&mut tx, &app.keyring, FeedNo::ALL).await?;
    let groups = with_theirs(
        groups::own_states(&mut tx, &app.keyring).await?,
        feed,
        other.state(),
    );
    let ours = frame::head(&mut tx).await?;
    let mut state = own.state().clone();
    let others = groups::signed_for(&mut tx, &app.keyring, FeedNo::ALL, other.state().entries()).await?;
    join(&mut tx, app, &mut state, others, now).await?;
    withdraw_what_conflicts(&mut tx, &state, now).await?;
    let restored = apply(&mut tx, app, &state, now).await?;
    lower_keys(&mut tx, app, &state, now).await?;
    lower_members(&mut tx, app, &state, now).await?;
    issuers::take_over(&mut tx, app, &mut state, now).await?;
    revoke_unknown(&mut tx, &mut state, now).await?;
    tx.close_index_blocks(None, now).await?;
    for head in [theirs, found] {
        tx.insert_absorbed_head(position(head), &head.digest, now).await?;
    }
    let opening = Opening {
        state,
        groups,
        epoch: ours.epoch.max(found.epoch).max(theirs.epoch) + 1,
        seq: ours.seq.max(found.seq).max(theirs.seq) + EPOCH_STRIDE,
        from: ours.epoch,
    };
    let epoch = opening.epoch;
    let state = open_epoch(&mut tx, app, opening, &Actor::system(), "feed.take_over_edge").await?;
    // What the state lacks goes out as the first frames of the epoch: signers where one was lost, blocks, our policy.
    signing::ensure_signers(&mut tx, &app.keyring, now).await?;
    signing::ensure_blocks(&mut tx, now).await?;
    let policy = app.policy();
    policy::republish(&mut tx, state.policy(), &policy, &app.random, now).await?;
    tx.commit().await?;
    app.keyring.reload(&mut app.store.begin_read().await?).await?;
    metrics::counter!("portcullis_feed_takeovers_total").increment(1);
    let revoked = state.revoked_count();
    tracing::warn!(
        edge = edge.name,
        epoch,
        restored,
        revoked,
        "its restrictions were taken over into a new epoch"
    );
    app.feed.wake();
    Ok(())
}

/// What the edges of one group hold goes into the group's feed whole, whoever the database thinks it concerns. Keys and blocks
/// do not: where they contradict ours, the feed of all says what becomes of them.
fn with_theirs(mut groups: Vec<(Group, State)>, feed: FeedNo, theirs: &State) -> Vec<(Group, State)> {
    for (_, own) in groups.iter_mut().filter(|(group, _)| group.feed == feed) {
        for entry in theirs.entries() {
            if !matches!(entry, Entry::Key(_) | Entry::Block(_)) {
                own.join(entry);
            }
        }
    }
    groups
}

async fn is_stranger(tx: &mut Tx, feed: FeedNo, head: Head) -> Result<bool, FeedError> {
    Ok(matches!(
        standing(tx, feed, Some(head)).await?,
        Standing::Stranger(_)
    ))
}

/// Everything that an edge holds, verified from the first envelope on: up to where it said it was, and what has come since. Not
/// without end: somebody with a stolen feed key may add to it faster than we ask.
async fn fetch(app: &App, edge: &Edge, feed: FeedNo, known: Position) -> Result<Replica, FeedError> {
    let now = app.clock.now();
    let mut tx = app.store.begin_read().await?;
    let trust = pinned(&mut tx, &app.keyring, feed).await?;
    let epoch = frame::head(&mut tx).await?.epoch;
    // Under a number of its own: the certificate of our feed key may have been removed in what we have lost.
    let pen = Pen::borrow(&mut tx, &app.keyring, (feed, epoch), now).await?;
    drop(tx);
    let feed = trust.feed;
    let mut replica = Replica::new(trust);
    let mut more = MAX_MORE;
    // An answer has a limit too: ask until nothing new comes.
    loop {
        let before = replica.head().map(position);
        let Position { epoch, seq } = before.unwrap_or_default();
        let request = FetchRequest {
            feed,
            epoch,
            after: seq,
            time: app.clock.now(),
        };
        let request = pen.sign(EnvelopeType::Fetch, &request.encode())?;
        let message = edge_api::fetch(&app.http, &edge.url, request).await?;
        for envelope in split_message(&message).map_err(Refusal::from)? {
            replica.accept(envelope)?;
        }
        let reached = replica.head().map(position);
        if reached >= Some(known) {
            more -= 1;
        }
        if reached == before || more == 0 {
            return Ok(replica);
        }
    }
}

/// Joins the other state in. Where the two contradict each other (the same number for two keys, one block for two), both
/// sides lose: the key is removed, the block revoked.
async fn join(
    tx: &mut Tx,
    app: &App,
    state: &mut State,
    others: Vec<Entry>,
    now: UnixMillis,
) -> Result<(), FeedError> {
    let known: BTreeSet<i64> = tx.signing_keys().await?.iter().map(|row| row.id).collect();
    for entry in others {
        let admitted = state.admits(&entry);
        match &entry {
            Entry::Key(key) => {
                let KeyRef::Ours(number) = key.reference else {
                    state.join(entry);
                    continue;
                };
                if !admitted {
                    tx.disown_signing_key(number, now).await?;
                }
                if !admitted || !known.contains(&int(number.get())) {
                    state.join(Entry::KeyRemoved(key.reference.clone()));
                }
            }
            Entry::Block(block) if !admitted => state.join(whole(block)),
            // A group's own affair.
            Entry::Admitted { .. } => {}
            _ => state.join(entry),
        }
    }
    // Numbers that were used must not be used again, whatever they stood for.
    let mut numbers: BTreeSet<SigningKeyId> = state.blocks().map(|block| block.signing_key).collect();
    for entry in state.entries() {
        if let Entry::KeyRemoved(KeyRef::Ours(number)) = entry {
            tx.disown_signing_key(number, now).await?;
            numbers.insert(number);
        }
    }
    for number in numbers
        .into_iter()
        .filter(|number| !known.contains(&int(number.get())))
    {
        tx.insert_signing_key(&lost_key(number, now)).await?;
    }
    app.keyring.reload(tx).await?;
    Ok(())
}

/// The row of a key of which only the number is known: removed, and nothing can be signed or verified with it.
fn lost_key(number: SigningKeyId, now: UnixMillis) -> SigningKeyRow {
    SigningKeyRow {
        id: int(number.get()),
        purpose: signing::Purpose::Feed.as_str().to_owned(),
        public_key: vec![0; 32],
        sealed: None,
        state: signing::KeyState::Removed.as_str().to_owned(),
        announced_by: None,
        created_at: int(now.0),
        acknowledged_at: None,
        activated_at: None,
        retired_at: None,
        removed_at: Some(int(now.0)),
    }
}

/// The revocation of a whole block.
fn whole(block: &Block) -> Entry {
    let last = block.start.get().saturating_add(block.length).saturating_sub(1);
    Entry::Revoked(vec![(
        block.start,
        StatusIndex::from_u64(last).unwrap_or(block.start),
    )])
}

/// Drops pending entries that no edge could take any more, or they would hold up all that follows.
async fn withdraw_what_conflicts(tx: &mut Tx, state: &State, now: UnixMillis) -> Result<(), FeedError> {
    for row in tx.pending_entries(u32::MAX).await? {
        let entry = frame::decode(&row)?;
        if state.admits(&entry) {
            continue;
        }
        match &entry {
            Entry::Key(key) => {
                if let KeyRef::Ours(number) = key.reference {
                    tx.disown_signing_key(number, now).await?;
                }
            }
            Entry::Block(block) => tx.close_index_block(int(block.start.get()), now).await?,
            _ => {}
        }
        tx.withdraw_entry(row.id).await?;
    }
    Ok(())
}

/// Writes every restriction of the state into the database; gives how many keys it revoked.
async fn apply(tx: &mut Tx, app: &App, state: &State, now: UnixMillis) -> Result<u64, FeedError> {
    let mut restored: u64 = 0;
    let retired = retire(tx, state, now).await?;
    for (first, last) in state.revoked_ranges().into_iter().chain(retired) {
        tx.revoke_indexes_between(first.get(), last.get(), now).await?;
        // The row of an index is forgotten after its last token, and its grant would move on to another.
        tx.end_grants_between(first.get(), last.get(), now).await?;
        for id in tx.live_keys_between(first.get(), last.get()).await? {
            let id = KeyId::from_u64(uint(id, "key id")?).ok_or(StoreError::Corrupt("key id"))?;
            revoke_key(tx, id, now).await?;
            restored += 1;
        }
    }
    for expiry in state.all_not_after() {
        tx.shorten_key(expiry.index.get(), expiry.time.0).await?;
    }
    for (subject, time) in state.all_not_before() {
        match subject {
            Subject::Org(org) => tx.raise_org_not_before(org.get(), time.0).await?,
            Subject::Workspace(workspace) => tx.raise_workspace_not_before(workspace.get(), time.0).await?,
            Subject::Member(org, user) => tx.raise_member_not_before(org.get(), user.get(), time.0).await?,
            Subject::Client(client) => match tx.client_by_identifier(client).await? {
                // A client that was only revoked has a ceiling that says so; any other was disabled, and stays so.
                Some(client) => {
                    let id = client.id.get();
                    let raised = tx.raise_client_not_before(id, time.0).await?;
                    if state.ceiling(subject).is_some_and(|ceiling| !ceiling.is_empty()) {
                        raised
                    } else {
                        raised + tx.disable_known_client(id, now).await?
                    }
                }
                None => 0,
            },
            // With all that came of it: a refresh after the restore would be dated past what the edge knows.
            Subject::Session(sid) => {
                let ended = tx.end_grants_of_session(sid, now).await?;
                match sid.parse::<SessionId>() {
                    Ok(sid) => ended + tx.end_known_session(sid, now).await?,
                    Err(_) => ended,
                }
            }
            Subject::Issuer(issuer) if *issuer == app.config.issuer => {
                tx.raise_issuer_not_before(time.0).await?
            }
            Subject::Issuer(issuer) => {
                let mut providers = app.config.identity_providers.iter();
                let provider = providers.find(|provider| provider.issuer == *issuer);
                let org = match provider {
                    Some(provider) => Some(provider.org),
                    None => tx.org_of_trusted_issuer(issuer).await?,
                };
                match org {
                    Some(org) => tx.raise_foreign_not_before(issuer, org, time.0).await?,
                    None => 0,
                }
            }
            // Not in this database yet: the state keeps them.
            Subject::Index(_) | Subject::WorkspaceMember(..) | Subject::Foreign(..) => 0,
        };
    }
    Ok(restored)
}

/// Retires the blocks that the edge knows as retired; gives their indexes, all of which are dead.
async fn retire(
    tx: &mut Tx,
    state: &State,
    now: UnixMillis,
) -> Result<Vec<(StatusIndex, StatusIndex)>, StoreError> {
    for block in tx.index_blocks().await? {
        let start = StatusIndex::from_u64(uint(block.start, "index block")?);
        if start.is_some_and(|start| state.is_retired(start)) {
            tx.close_index_block(block.start, now).await?;
            tx.retire_index_block(block.start, now).await?;
        }
    }
    let index = |list: u64| StatusIndex::from_u64(list.saturating_mul(StatusIndex::LIST_LENGTH));
    let last_of = |list: u64| {
        let next = list.saturating_add(1).saturating_mul(StatusIndex::LIST_LENGTH);
        StatusIndex::from_u64(next.saturating_sub(1))
    };
    let lists = state.retired_lists().into_iter();
    Ok(lists
        .filter_map(|(first, last)| index(first).zip(last_of(last)))
        .collect())
}

/// Takes over the ceilings of members: nobody gets a token for what the edge refuses, and the next change has a higher
/// version than any that the edge has seen.
async fn lower_members(tx: &mut Tx, app: &App, state: &State, now: UnixMillis) -> Result<(), FeedError> {
    let (catalogue, policy) = (app.catalogue(), &app.policy().policy);
    for entry in state.entries() {
        let Entry::Ceiling {
            subject: Subject::Member(org, user),
            version,
            scopes,
        } = entry
        else {
            continue;
        };
        let Some(member) = tx.member(org, user).await? else {
            continue;
        };
        let ceiling = catalogue.expand(scopes);
        let fits = |role: &Role| ceiling.contains(catalogue.expand(orgs::rights(*role, policy)));
        let role = [member.role, Role::Member, Role::Viewer].into_iter().find(fits);
        let suspended_at = (scopes.is_empty() || role.is_none()).then_some(now);
        let role = role.unwrap_or(member.role);
        tx.restrict_member((org, user), role, suspended_at, version)
            .await?;
    }
    Ok(())
}

/// Takes over the quarantine of keys, under the edge's versions: what the edge knows of one is never undone by an older state.
async fn lower_keys(tx: &mut Tx, app: &App, state: &State, now: UnixMillis) -> Result<(), FeedError> {
    for entry in state.entries() {
        let Entry::Ceiling {
            subject: Subject::Index(index),
            version,
            scopes,
        } = entry
        else {
            continue;
        };
        let ceiling = keys::quarantine::named(scopes, &app.policy().policy);
        tx.restore_quarantine(index.get(), ceiling, version, now).await?;
    }
    Ok(())
}

/// A key that the edge refuses is revoked here too, with a receipt like any other.
async fn revoke_key(tx: &mut Tx, id: KeyId, now: UnixMillis) -> Result<(), FeedError> {
    let reach = Reach::of_index(tx, id.into()).await?;
    let outbox = enqueue(tx, &reach, &id.to_string(), &Entry::revoked(id.into()), now).await?;
    let revoked = Revoked {
        at: now,
        reason: "unspecified".to_owned(),
        by: "system".to_owned(),
        outbox,
    };
    if tx.revoke_key(id, &revoked).await? {
        tx.insert_receipt(&id.to_string(), now, outbox).await?;
    }
    Ok(())
}

/// Revokes, in the state, every index that could have been drawn and has no row; blocks that we did not know get theirs.
async fn revoke_unknown(tx: &mut Tx, state: &mut State, now: UnixMillis) -> Result<(), FeedError> {
    let known: BTreeSet<i64> = tx.index_blocks().await?.iter().map(|row| row.start).collect();
    let blocks: Vec<Block> = state.blocks().copied().collect();
    for block in blocks {
        let start = int(block.start.get());
        if !known.contains(&start) {
            let row = BlockRow {
                start,
                length: int(block.length),
                signing_key: int(block.signing_key.get()),
                announced_by: None,
                closed_at: Some(int(now.0)),
            };
            tx.insert_index_block(&row, now).await?;
        }
        let taken = tx.taken_indexes(start).await?;
        let gaps = gaps(&block, &taken);
        if !gaps.is_empty() {
            state.join(Entry::Revoked(gaps));
        }
    }
    Ok(())
}

/// The indexes of a block that are not in an ascending list, as inclusive ranges.
pub(super) fn gaps(block: &Block, taken: &[i64]) -> Vec<(StatusIndex, StatusIndex)> {
    let end = block.start.get().saturating_add(block.length);
    let mut next = block.start.get();
    let mut gaps = Vec::new();
    let taken = taken.iter().filter_map(|index| u64::try_from(*index).ok());
    for index in taken.chain([end]) {
        if let Some(last) = index.checked_sub(1).filter(|last| *last >= next) {
            gaps.extend(StatusIndex::from_u64(next).zip(StatusIndex::from_u64(last)));
        }
        next = next.max(index.saturating_add(1));
    }
    gaps
}

/// Ends the current epoch and opens the next with a snapshot of this state, under a new certificate by the root.
pub(super) async fn open_epoch(
    tx: &mut Tx,
    app: &App,
    opening: Opening,
    actor: &Actor,
    action: &'static str,
) -> Result<State, FeedError> {
    let revoked = opening.state.revoked_count();
    // No edge would take such a snapshot, and there is no way back from a committed epoch.
    if revoked > MAX_REVOKED {
        return Err(FeedError::TooManyRevoked(revoked));
    }
    let now = app.clock.now();
    let Opening {
        state,
        groups,
        epoch,
        seq,
        from,
    } = opening;
    // The signer may have been removed by what was taken over.
    signing::ensure_signers(tx, &app.keyring, now).await?;
    if !tx.advance_epoch(from, epoch).await? {
        return Err(FeedError::Contended);
    }
    let at = Position { epoch, seq };
    let snapshot = Snapshot::opening(signing::feed_id(tx).await?, epoch, seq, state.clone());
    groups::write_snapshot(tx, &app.keyring, FeedNo::ALL, snapshot, now).await?;
    if !groups.is_empty() {
        let owners = groups::Owners::of(tx, &state).await?;
        for (group, own) in groups {
            groups::open(tx, app, (&group, own), (&state, &owners), at, now).await?;
        }
    }
    let event = Event {
        org: None,
        actor,
        action,
        target: format!("epoch {epoch}"),
        detail: json!({ "seq": seq, "revoked": revoked }),
    };
    audit::record(tx, &app.random, &event, now).await?;
    Ok(state)
}
