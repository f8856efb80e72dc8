//! Every way to change the trail by hand is found, at its place; and sealing survives company, death and late rows.

use super::super::seal::seal_batch;
use super::super::{chain_of, check_all, head, last_check};
use super::{Actor, Event, by_hand, record, seal, start, walk, write};
use crate::app::{App, Parts};
use crate::random::Random;
use crate::store::conformance::suite;
use crate::store::{Store, int};
use crate::testing::TestApp;
use serde_json::Value;

suite! {
    a_sound_chain_is_sound,
    a_changed_row_is_found,
    a_row_removed_from_the_middle_is_found,
    the_last_row_removed_is_found,
    a_cut_off_end_is_found,
    an_inserted_row_is_found,
    rows_that_changed_places_are_found,
    a_chain_computed_anew_is_found,
    a_trail_put_back_is_found_by_its_anchor,
    two_sealers_make_one_chain,
    a_sealer_that_dies_leaves_nothing_half,
    late_rows_are_chained_late,
    a_row_lost_before_its_seal_is_found,
    what_is_dropped_early_is_found,
    the_daily_check_notes_what_it_finds,
}

async fn filled(store: Store) -> TestApp {
    let test = start(Some(store)).await;
    write(&test, Some(test.made.org), 8).await;
    seal(&test).await;
    test
}

fn bad(found: &Value) -> (Option<u64>, String) {
    assert_eq!(found["ok"], false, "{found}");
    let reason = found["bad"]["reason"].as_str().unwrap_or_default().to_owned();
    (found["bad"]["position"].as_u64(), reason)
}

/// The id of the row at a place of the first organisation's chain.
async fn at(test: &TestApp, position: i64) -> i64 {
    let chain = chain_of(Some(test.made.org));
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let places = tx.chained(chain, position - 1, 1).await.expect("places");
    places.first().expect("a place").audit_id
}

async fn a_sound_chain_is_sound(store: Store) {
    let test = filled(store).await;
    write(&test, None, 3).await;
    write(&test, Some(test.made.org), 1).await;
    let found = walk(&test, "").await;
    // Four rows of the first start, eight of ours; the last one waits.
    assert_eq!(
        (&found["ok"], &found["complete"]),
        (&true.into(), &true.into()),
        "{found}"
    );
    assert_eq!(
        (found["sealed_up_to"].as_u64(), found["checked_up_to"].as_u64()),
        (Some(12), Some(12))
    );
    seal(&test).await;
    assert_eq!(walk(&test, "").await["sealed_up_to"], 13);
    let installation = walk(&test, "trail=installation").await;
    assert_eq!(installation["ok"], true, "{installation}");
    assert!(installation["sealed_up_to"].as_u64() >= Some(3), "{installation}");
    // What rides in the heartbeat is the head of all seals.
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let riding = head(&mut tx).await.expect("head");
    assert_eq!(installation["audit_head"], hex::encode(riding));
    assert_ne!(riding, [0; 32]);
}

async fn a_changed_row_is_found(store: Store) {
    let test = filled(store).await;
    let id = at(&test, 7).await;
    for (column, value) in [
        ("actor", "'usr_000000009'"),
        ("action", "'nothing'"),
        ("target", "'thing 99'"),
        ("detail", "'{\"number\":99}'"),
        ("at", "at + 1"),
        ("credential", "'key_000000009'"),
        ("request_id", "'req_12345678'"),
        ("address", "NULL"),
        ("salt", "NULL"),
    ] {
        let kept = format!("CREATE TABLE kept AS SELECT * FROM audit WHERE id = {id}");
        by_hand(&test, &kept).await;
        by_hand(
            &test,
            &format!("UPDATE audit SET {column} = {value} WHERE id = {id}"),
        )
        .await;
        assert_eq!(
            bad(&walk(&test, "").await),
            (Some(7), "changed".to_owned()),
            "{column}"
        );
        let back = format!("UPDATE audit SET {column} = (SELECT {column} FROM kept) WHERE id = {id}");
        by_hand(&test, &back).await;
        assert_eq!(walk(&test, "").await["ok"], true, "{column}");
        by_hand(&test, "DROP TABLE kept").await;
    }
    // Into another organisation's trail: it is missing here.
    by_hand(&test, &format!("UPDATE audit SET chain = 99 WHERE id = {id}")).await;
    assert_eq!(bad(&walk(&test, "").await), (Some(7), "changed".to_owned()));
}

async fn a_row_removed_from_the_middle_is_found(store: Store) {
    let test = filled(store).await;
    let id = at(&test, 6).await;
    by_hand(&test, &format!("DELETE FROM audit WHERE id = {id}")).await;
    assert_eq!(bad(&walk(&test, "").await), (Some(6), "removed".to_owned()));
    // Its place too, and those behind it moved up.
    let chain = chain_of(Some(test.made.org));
    by_hand(&test, &format!("DELETE FROM audit_chain WHERE audit_id = {id}")).await;
    assert_eq!(bad(&walk(&test, "").await), (Some(6), "removed".to_owned()));
    for position in 7..=12 {
        let sql = format!(
            "UPDATE audit_chain SET position = {} WHERE chain = {chain} AND position = {position}",
            position - 1
        );
        by_hand(&test, &sql).await;
    }
    assert_eq!(bad(&walk(&test, "").await), (Some(6), "changed".to_owned()));
}

async fn the_last_row_removed_is_found(store: Store) {
    let test = filled(store).await;
    let id = at(&test, 12).await;
    by_hand(&test, &format!("DELETE FROM audit WHERE id = {id}")).await;
    assert_eq!(bad(&walk(&test, "").await), (Some(12), "removed".to_owned()));
}

async fn a_cut_off_end_is_found(store: Store) {
    let test = filled(store).await;
    let id = at(&test, 12).await;
    by_hand(&test, &format!("DELETE FROM audit WHERE id = {id}")).await;
    by_hand(&test, &format!("DELETE FROM audit_chain WHERE audit_id = {id}")).await;
    assert_eq!(bad(&walk(&test, "").await), (Some(12), "cut_off".to_owned()));
    // What is written afterwards does not fill the hole.
    write(&test, Some(test.made.org), 2).await;
    seal(&test).await;
    assert_eq!(bad(&walk(&test, "").await), (Some(12), "removed".to_owned()));
    // The seals' heads as well.
    let chain = chain_of(Some(test.made.org));
    by_hand(
        &test,
        &format!("DELETE FROM audit_chain WHERE chain = {chain} AND position > 11"),
    )
    .await;
    by_hand(
        &test,
        &format!("DELETE FROM audit_seal_heads WHERE chain = {chain} AND position > 11"),
    )
    .await;
    by_hand(
        &test,
        &format!("DELETE FROM audit WHERE chain = {chain} AND action = 'test.write' AND target = 'thing 0'"),
    )
    .await;
    assert_eq!(walk(&test, "").await["ok"], false);
}

async fn an_inserted_row_is_found(store: Store) {
    let test = filled(store).await;
    let id = at(&test, 6).await;
    let copy = format!(
        "INSERT INTO audit (id, at, chain, org_id, actor, credential, action, target, detail, salt, request_id)
         SELECT 77, at, chain, org_id, actor, credential, action, 'thing 77', detail, salt, request_id FROM audit WHERE id = {id}"
    );
    by_hand(&test, &copy).await;
    assert_eq!(bad(&walk(&test, "").await), (None, "inserted".to_owned()));
    // It stays one when the sealer comes by.
    write(&test, Some(test.made.org), 1).await;
    seal(&test).await;
    let found = walk(&test, "").await;
    assert_eq!(bad(&found), (None, "inserted".to_owned()));
    assert_eq!(
        found["bad"]["entry"],
        shared::id::AuditId::from_u64(77).expect("small").to_string()
    );
    // With a place of its own, behind the others or among them.
    let chain = chain_of(Some(test.made.org));
    by_hand(&test, &format!(
        "INSERT INTO audit_chain (chain, position, audit_id, sealed_at, head) SELECT chain, 14, 77, sealed_at, head FROM audit_chain WHERE chain = {chain} AND position = 13"
    )).await;
    assert_eq!(bad(&walk(&test, "").await), (Some(14), "changed".to_owned()));
    // Nothing of ours is lost to the place that it took.
    write(&test, Some(test.made.org), 1).await;
    seal(&test).await;
    let mut tx = test.app.store.begin_read().await.expect("tx");
    assert_eq!(tx.last_chained(chain).await.expect("last"), Some(15));
}

async fn rows_that_changed_places_are_found(store: Store) {
    let test = filled(store).await;
    let (first, second) = (at(&test, 6).await, at(&test, 9).await);
    for (from, to) in [(first, 1), (second, first), (1, second)] {
        by_hand(
            &test,
            &format!("UPDATE audit_chain SET audit_id = {to} WHERE audit_id = {from}"),
        )
        .await;
    }
    assert_eq!(bad(&walk(&test, "").await), (Some(6), "changed".to_owned()));
}

/// Somebody who knows how heads are made changes a row and computes everything behind it, the seals too: without the key of the
/// seals it is of no use.
async fn a_chain_computed_anew_is_found(store: Store) {
    use super::super::chain;
    let test = filled(store).await;
    let number = chain_of(Some(test.made.org));
    let id = at(&test, 8).await;
    by_hand(
        &test,
        &format!("UPDATE audit SET target = 'thing 99' WHERE id = {id}"),
    )
    .await;
    let mut tx = test.app.store.begin().await.expect("tx");
    let places = tx.chained(number, 7, 100).await.expect("places");
    let mut before = tx.chain_head(number, 7).await.expect("head").expect("there");
    let literal = |bytes: &[u8]| match &test.app.store {
        Store::Sqlite(..) => format!("x'{}'", hex::encode(bytes)),
        Store::Postgres(_) => format!("'\\x{}'", hex::encode(bytes)),
    };
    let mut edits = Vec::new();
    for place in &places {
        let row = tx.audit_row(place.audit_id).await.expect("row").expect("there");
        before = chain::head(&before, place.position, place.sealed_at, &chain::row_digest(&row)).to_vec();
        edits.push(format!(
            "UPDATE audit_chain SET head = {} WHERE chain = {number} AND position = {}",
            literal(&before),
            place.position
        ));
    }
    let seal = tx.sealed_up_to(number).await.expect("seal").expect("there").seal;
    drop(tx);
    for edit in edits {
        by_hand(&test, &edit).await;
    }
    assert_eq!(bad(&walk(&test, "").await), (Some(12), "resealed".to_owned()));
    // The heads under the seal as well, and the seal.
    by_hand(
        &test,
        &format!(
            "UPDATE audit_seal_heads SET head = {} WHERE chain = {number} AND position = 12",
            literal(&before)
        ),
    )
    .await;
    assert_eq!(bad(&walk(&test, "").await), (Some(12), "resealed".to_owned()));
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let old = tx.seal(seal).await.expect("seal").expect("there");
    let previous = tx
        .seal(seal - 1)
        .await
        .expect("seal")
        .map_or(vec![0; 32], |seal| seal.head);
    let heads = tx.heads_of_seal(seal).await.expect("heads");
    drop(tx);
    let forged = chain::seal(&previous, seal, old.sealed_at, &heads);
    by_hand(
        &test,
        &format!(
            "UPDATE audit_seals SET head = {} WHERE number = {seal}",
            literal(&forged)
        ),
    )
    .await;
    by_hand(
        &test,
        &format!("UPDATE audit_sealer SET head = {}", literal(&forged)),
    )
    .await;
    // A process that has not seen the seal before.
    let fresh = again(&test).await;
    let found = super::super::verify(&fresh, number, None, None)
        .await
        .expect("walk");
    assert_eq!(
        found.bad.map(|bad| (bad.position, bad.reason)),
        Some((Some(12), "resealed"))
    );
}

/// Another process on the same database.
async fn again(test: &TestApp) -> std::sync::Arc<App> {
    let parts = Parts {
        config: test.app.config.clone(),
        store: test.app.store.clone(),
        clock: test.clock.clone(),
        random: Random::system(),
        metrics: metrics_exporter_prometheus::PrometheusBuilder::new()
            .build_recorder()
            .handle(),
    };
    App::build(parts).await.expect("an application")
}

async fn a_trail_put_back_is_found_by_its_anchor(store: Store) {
    let test = filled(store).await;
    let early = walk(&test, "").await["audit_head"]
        .as_str()
        .expect("a head")
        .to_owned();
    write(&test, Some(test.made.org), 2).await;
    seal(&test).await;
    let noted = walk(&test, "").await["audit_head"]
        .as_str()
        .expect("a head")
        .to_owned();
    assert_eq!(walk(&test, &format!("anchor={noted}")).await["ok"], true);
    assert_eq!(walk(&test, &format!("anchor={early}")).await["ok"], true);
    // Everything of the last two rows, seal and all, as in an older copy of the database.
    let chain = chain_of(Some(test.made.org));
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let last = tx.sealed_up_to(chain).await.expect("seal").expect("there").seal;
    drop(tx);
    by_hand(
        &test,
        "DELETE FROM audit WHERE id IN (SELECT audit_id FROM audit_chain WHERE position > 12)",
    )
    .await;
    by_hand(&test, "DELETE FROM audit_chain WHERE position > 12").await;
    by_hand(&test, "DELETE FROM audit_seal_heads WHERE position > 12").await;
    by_hand(&test, &format!("DELETE FROM audit_seals WHERE number = {last}")).await;
    by_hand(
        &test,
        &format!(
            "UPDATE audit_sealer SET number = {}, head = (SELECT head FROM audit_seals WHERE number = {})",
            last - 1,
            last - 1
        ),
    )
    .await;
    // This process saw the seal; another one needs the anchor.
    assert_eq!(bad(&walk(&test, "").await), (None, "rolled_back".to_owned()));
    let fresh = again(&test).await;
    assert!(
        super::super::verify(&fresh, chain, None, None)
            .await
            .expect("walk")
            .ok
    );
    let anchor: Vec<u8> = (0..64)
        .step_by(2)
        .map(|at| u8::from_str_radix(&noted[at..at + 2], 16).expect("hex"))
        .collect();
    let anchor: [u8; 32] = anchor.try_into().expect("32 bytes");
    let found = super::super::verify(&fresh, chain, None, Some(&anchor))
        .await
        .expect("walk");
    assert_eq!(found.bad.map(|bad| bad.reason), Some("rolled_back"));
}

async fn two_sealers_make_one_chain(store: Store) {
    let test = start(Some(store)).await;
    let rival = again(&test).await;
    for _ in 0..5 {
        write(&test, Some(test.made.org), 20).await;
        let (first, second) = tokio::join!(
            super::super::seal_waiting(test.app.clone()),
            super::super::seal_waiting(rival.clone())
        );
        first.expect("sealed");
        second.expect("sealed");
    }
    let found = walk(&test, "").await;
    assert_eq!(
        (&found["ok"], found["sealed_up_to"].as_u64()),
        (&true.into(), Some(104)),
        "{found}"
    );
}

/// Killed before its commit: the database forgets the whole batch, and the next sealer does it.
async fn a_sealer_that_dies_leaves_nothing_half(store: Store) {
    let test = start(Some(store)).await;
    write(&test, Some(test.made.org), 5).await;
    let mut tx = test.app.store.begin().await.expect("tx");
    let sealed = seal_batch(&mut tx, &test.app.keyring, int(test.clock.now().0))
        .await
        .expect("sealed");
    assert_eq!(sealed.map(|(.., rows)| rows), Some(5));
    drop(tx);
    assert_eq!(walk(&test, "").await["sealed_up_to"], 4);
    seal(&test).await;
    let found = walk(&test, "").await;
    assert_eq!(
        (&found["ok"], found["sealed_up_to"].as_u64()),
        (&true.into(), Some(9)),
        "{found}"
    );
}

async fn late_rows_are_chained_late(store: Store) {
    let test = start(Some(store)).await;
    let actor = Actor::system();
    let event = |target: &str| Event {
        org: Some(test.made.org),
        actor: &actor,
        action: "test.write",
        target: target.to_owned(),
        detail: Value::Null,
    };
    let early = test.clock.now();
    // SQLite has one writer: there a row can be late by its clock only.
    if matches!(test.app.store, Store::Postgres(_)) {
        let mut late = test.app.store.begin().await.expect("tx");
        record(&mut late, &test.app.random, &event("late"), early)
            .await
            .expect("row");
        write(&test, Some(test.made.org), 3).await;
        seal(&test).await;
        late.commit().await.expect("commit");
    } else {
        write(&test, Some(test.made.org), 3).await;
        seal(&test).await;
        let mut late = test.app.store.begin().await.expect("tx");
        record(&mut late, &test.app.random, &event("late"), early)
            .await
            .expect("row");
        late.commit().await.expect("commit");
    }
    seal(&test).await;
    let found = walk(&test, "").await;
    assert_eq!(
        (&found["ok"], found["sealed_up_to"].as_u64()),
        (&true.into(), Some(8)),
        "{found}"
    );
    let id = at(&test, 8).await;
    let mut tx = test.app.store.begin_read().await.expect("tx");
    assert_eq!(
        tx.audit_row(id).await.expect("row").expect("there").target,
        "late"
    );
}

async fn a_row_lost_before_its_seal_is_found(store: Store) {
    let test = start(Some(store)).await;
    write(&test, Some(test.made.org), 2).await;
    by_hand(&test, "DELETE FROM audit WHERE target = 'thing 0'").await;
    assert_eq!(bad(&walk(&test, "").await), (None, "removed".to_owned()));
    seal(&test).await;
    assert_eq!(bad(&walk(&test, "").await), (Some(5), "removed".to_owned()));
    // Changed instead of removed: the digest of the first moment counts.
    let test = TestApp::start().await;
    write(&test, Some(test.made.org), 1).await;
    by_hand(
        &test,
        "UPDATE audit SET actor = 'usr_000000009' WHERE action = 'test.write'",
    )
    .await;
    seal(&test).await;
    assert_eq!(bad(&walk(&test, "").await), (Some(5), "changed".to_owned()));
}

async fn what_is_dropped_early_is_found(store: Store) {
    use super::super::chain;
    let test = filled(store).await;
    let id = at(&test, 7).await;
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let row = tx.audit_row(id).await.expect("row").expect("there");
    drop(tx);
    let digest = hex::encode(chain::detail_digest(&row));
    let literal = match &test.app.store {
        Store::Sqlite(..) => format!("x'{digest}'"),
        Store::Postgres(_) => format!("'\\x{digest}'"),
    };
    let sql = format!("UPDATE audit SET detail = '', salt = NULL, detail_digest = {literal} WHERE id = {id}");
    by_hand(&test, &sql).await;
    assert_eq!(bad(&walk(&test, "").await), (Some(7), "dropped_early".to_owned()));
    // A text beside the digest is not what the digest is of.
    by_hand(
        &test,
        &format!("UPDATE audit SET detail = '{{}}' WHERE id = {id}"),
    )
    .await;
    assert_eq!(bad(&walk(&test, "").await), (Some(7), "changed".to_owned()));
}

async fn the_daily_check_notes_what_it_finds(store: Store) {
    let test = filled(store).await;
    let chain = chain_of(Some(test.made.org));
    check_all(test.app.clone()).await.expect("checked");
    let found = last_check(&test.app, chain).await.expect("check").expect("there");
    assert_eq!(
        (found.position, found.bad_position, found.reason),
        (12, None, None)
    );
    by_hand(
        &test,
        &format!("UPDATE audit SET target = 'x' WHERE id = {}", at(&test, 5).await),
    )
    .await;
    // Not before a day is over.
    check_all(test.app.clone()).await.expect("checked");
    assert_eq!(
        last_check(&test.app, chain)
            .await
            .expect("check")
            .expect("there")
            .reason,
        None
    );
    test.clock.advance_ms(25 * 3_600_000);
    check_all(test.app.clone()).await.expect("checked");
    let found = last_check(&test.app, chain).await.expect("check").expect("there");
    assert_eq!(
        (found.bad_position, found.reason.as_deref()),
        (Some(5), Some("changed"))
    );
}
