//! The same behaviour on both engines: every function here runs on SQLite and on PostgreSQL.
//!
//! SQLite: one test per function, each with a file of its own. PostgreSQL: one test that starts a server and runs them all,
//! each in a database of its own. A machine without PostgreSQL fails, unless `ALLOW_SKIPPED_TESTS` is set.

mod clients;
mod edges;
mod engine;
mod factors;
mod feed;
mod flows;
mod grants;
mod groups;
mod holdings;
mod installation;
mod issuers;
mod keys;
mod mail;
mod members;
mod outbox;
mod people;
mod races;
mod revocations;
mod rotation;
mod sessions;
mod signals;
mod signing;
mod status_lists;
mod usage;

use shared::id::{AuditId, KeyId, OrgId, SigningKeyId, UserId, WorkspaceId};
use shared::key::Environment;
use shared::scope::ScopeSet;
use shared::time::UnixMillis;

use crate::store::audit::AuditRow;
use crate::store::idempotency::IdempotencySlot;
use crate::store::key_lists::KeyFilter;
use crate::store::keys::{ApiKey, Reach, Revoked};
use crate::store::orgs::{IssueSubjects, NewUser, Role};
use crate::store::{Store, Tx};

const NOW: UnixMillis = UnixMillis(1_795_302_520_000);

/// Stamps a list of functions once per engine. A new function is added to its list, and nowhere else.
macro_rules! suite {
    ($($module:ident::{$($name:ident),* $(,)?}),* $(,)?) => {
        $(use $module::{$($name),*};)*
        $crate::store::conformance::suite! { $($($name,)*)* }
    };
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                let folder = tempfile::tempdir().expect("a temporary folder");
                let url = format!("sqlite://{}", folder.path().join("test.db").display());
                let store = $crate::store::Store::connect(&url).await.expect("a database");
                store.migrate().await.expect("a schema");
                super::$name(store.clone()).await;
                store.close().await;
            })*
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn postgres() {
            let Some(server) = $crate::store::test_postgres::TestPostgres::start_or_skip() else { return };
            $(
                println!(concat!("postgres: ", stringify!($name)));
                let store = server.database(concat!("conformance_", stringify!($name))).await;
                // Elsewhere than on the stack, which all of them together would overflow.
                $crate::store::conformance::boxed($name, store.clone()).await;
                store.close().await;
            )*
        }
    };
}
pub(crate) use suite;

/// One case, in a frame of its own.
pub(crate) fn boxed<F: Future<Output = ()> + 'static>(
    case: fn(Store) -> F,
    store: Store,
) -> std::pin::Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(case(store))
}

suite! {
    issuers::{
        an_issuer_comes_back_as_it_went_in,
        a_due_issuer_is_taken_by_one,
        a_block_has_a_version,
    },
    usage::{
        usage_is_summed_by_the_day,
        usage_is_summed_by_what_is_asked,
        missing_windows_are_kept_by_isolate,
        uses_add_up,
    },
    edges::{
        edge_keys_are_found_until_they_end,
        an_alert_is_raised_once,
        canaries_go_with_their_indexes,
        a_lease_has_one_holder,
        frames_say_when_they_were_made,
    },
    groups::{
        a_group_remembers_whom_it_admitted,
        it_is_known_whose_a_thing_is,
        a_receipt_concerns_whom_its_row_does,
        edges_of_others_need_not_know_a_block,
    },
    people::{
        a_database_is_claimed_once,
        people_and_places,
        a_role_is_changed_by_one_of_two,
        an_issue_is_dated_after_every_not_before,
        a_not_before_reaches_issues_of_a_fast_clock,
    },
    keys::{
        a_key_comes_back_as_it_went_in,
        keys_of_others_are_out_of_reach,
        a_page_reads_a_bounded_number_of_rows,
        lists_are_ordered_paged_and_filtered,
        names_are_found_by_how_they_begin,
        the_overview_counts_and_looks_ahead,
        a_status_follows_the_clock,
        a_dead_key_is_not_held,
        rotations_are_counted_by_line,
        a_line_is_followed_to_its_end,
        the_last_of_a_line_is_what_the_edge_gets_last,
    },
    races::{
        an_issue_that_waited_for_a_not_before_survives_it,
        of_two_revocations_one_wins,
        of_two_rotations_one_wins,
        of_two_creates_with_one_key_one_wins,
        readers_that_write_do_not_lock_each_other_out,
    },
    revocations::{
        keys_match_every_condition,
        grants_and_asserted_tokens_match,
        a_revocation_comes_back_as_it_went_in,
        a_not_before_never_goes_back,
        a_provider_has_a_not_before,
        a_quarantine_has_a_version,
    },
    engine::{
        idempotency_is_forgotten,
        a_rollback_leaves_nothing,
        references_are_checked,
        the_trail_is_appended_to,
        a_database_answers,
    },
    signing::{
        an_index_is_drawn_once,
        an_index_waits_for_its_block,
        a_full_block_is_closed,
        old_indexes_are_forgotten,
        a_list_without_life_is_retired,
    },
    rotation::{
        a_key_is_replaced_when_every_edge_has_it,
        a_token_key_goes_with_its_last_token,
        a_feed_key_takes_over_at_once,
        a_compromised_key_goes_at_once,
        a_retired_key_can_be_named,
        the_root_stays,
    },
    clients::{
        a_client_comes_back_as_it_went_in,
        a_client_that_nobody_registered_is_there_once,
        a_client_says_something_else,
        an_assertion_is_taken_once,
        a_clients_issue_is_dated,
        a_client_is_disabled_once,
        restrictions_are_only_tightened,
    },
    sessions::{
        a_session_is_alive_within_its_limits,
        a_secret_is_replaced_once,
        an_end_is_dated_past_every_token,
        what_an_edge_ended_is_ended_here,
        an_account_signs_in_where_it_is_alive,
        attempts_are_counted_by_window,
        attempts_at_once_all_count,
    },
    mail::{
        a_mail_is_taken_by_one_and_dropped,
        the_outbox_keeps_what_was_shown,
        a_sign_up_is_used_once_with_its_rivals,
        a_link_to_a_password_is_used_once,
        an_invitation_ends_in_one_way,
        people_belong_where_they_are_alive,
        a_session_moves_under_a_new_secret,
    },
    factors::{
        a_step_is_used_up_with_those_before,
        of_two_with_one_code_one_wins,
        recovery_codes_are_used_once,
        a_wait_is_taken_once_and_in_time,
        a_passkey_comes_back_as_it_went_in,
        home_is_where_one_is_alive,
    },
    grants::{
        a_grant_is_held_moved_and_ended_once,
        the_end_of_a_session_ends_its_grants,
        an_index_lives_as_long_as_its_tokens,
        a_code_is_taken_once_and_in_time,
        a_family_has_one_head,
        consents_add_up,
        a_revoked_index_ends_its_grant,
        a_proof_is_spent_once,
    },
    members::{
        a_member_is_changed_by_one_of_two,
        members_are_listed_after_one_of_them,
        everything_of_a_member_ends_and_nothing_of_others,
        an_edges_ceiling_counts_unless_it_is_older,
    },
    holdings::{
        a_program_never_signs_in,
        workspaces_are_archived_and_taken_out,
        keys_in_use_are_counted_up_to_a_number,
        sessions_are_listed_while_they_are_alive,
        grants_are_listed_by_whose_they_are,
        clients_are_listed_by_organisation,
        invitations_that_wait_are_listed,
    },
    signals::{
        a_logout_is_for_those_who_listen,
        a_logout_is_taken_by_one_and_dropped,
        a_signal_ends_what_a_member_has_here,
    },
    status_lists::{
        a_list_knows_who_is_dead,
        a_list_knows_who_is_suspended,
        a_list_is_there_while_it_is_used,
        every_change_moves_the_mark,
    },
    flows::{
        a_pushed_request_is_one_browsers_and_used_once,
        a_device_waits_for_one_answer,
        a_hasty_device_waits_longer,
        exchanged_indexes_are_their_clients,
    },
    outbox::{
        a_first_start_makes_a_feed_once,
        rival_publishers_make_one_chain,
        what_was_not_committed_is_not_framed,
        a_frame_leaves_room_for_the_next,
        a_pending_entry_can_be_withdrawn,
    },
    feed::{
        a_receipt_is_completed_once,
        acknowledgements_never_go_back,
        snapshots_come_back_whole,
        epochs_and_policies_are_compare_and_set,
    },
}

const SUBJECTS: fn() -> IssueSubjects = || IssueSubjects {
    org: org(1),
    workspace: Some(workspace(3)),
    user: Some(user(2)),
};

fn org(number: u64) -> OrgId {
    OrgId::from_u64(number).expect("small")
}

fn user(number: u64) -> UserId {
    UserId::from_u64(number).expect("small")
}

fn workspace(number: u64) -> WorkspaceId {
    WorkspaceId::from_u64(number).expect("small")
}

fn key_id(number: u64) -> KeyId {
    KeyId::from_u64(number).expect("small")
}

/// Organisation 1 with user 2 as its owner and workspace 3.
async fn people(store: &Store) -> Tx {
    let mut tx = store.begin().await.expect("tx");
    tx.insert_org(org(1), "Acme", NOW).await.expect("org");
    let ada = NewUser {
        id: user(2),
        email: "ada@example.com",
        name: "Ada",
        password_hash: Some("hash"),
    };
    tx.insert_user(&ada, NOW).await.expect("user");
    tx.insert_membership(org(1), user(2), Role::Owner, NOW)
        .await
        .expect("membership");
    tx.insert_workspace(workspace(3), org(1), "main", NOW)
        .await
        .expect("workspace");
    tx
}

fn sample(number: u64) -> ApiKey {
    ApiKey {
        id: key_id(number),
        org: org(1),
        user: user(2),
        workspace: None,
        name: format!("Key {number}"),
        environment: Environment::Live,
        scopes: ScopeSet(1),
        masked: "pc_live_…abcd".to_owned(),
        signing_key: SigningKeyId::from_u64(1).expect("small"),
        issued_at: NOW.seconds(),
        expires_at: None,
        not_after: None,
        family: key_id(number),
        rotated_from: None,
        rotated_to: None,
        created_by: user(2).to_string(),
        created_at: NOW,
        revoked: None,
        quarantine: None,
    }
}

fn revoked(outbox: i64) -> Revoked {
    Revoked {
        at: NOW,
        reason: "superseded".to_owned(),
        by: "usr_000000002".to_owned(),
        outbox,
    }
}

fn filter(reach: Reach) -> KeyFilter {
    KeyFilter::all(reach, 100)
}

fn slot() -> IdempotencySlot {
    IdempotencySlot {
        org: org(1),
        user: user(2),
        operation: "api_key.create",
        key_digest: [9; 32],
    }
}

fn audit_row(id: u64, target: &str) -> AuditRow {
    let (id, org_id) = crate::store::audit::stored_ids(AuditId::from_u64(id).expect("small"), Some(org(1)));
    AuditRow {
        id,
        at: crate::store::audit::stored_time(NOW) + id,
        chain: org_id.unwrap_or(0),
        org_id,
        actor: "usr_000000002".to_owned(),
        credential: None,
        action: "api_key.create".to_owned(),
        target: target.to_owned(),
        detail: "{}".to_owned(),
        salt: Some(vec![5; 16]),
        detail_digest: None,
        personal: None,
        address: None,
        request_id: Some("req_12345678".to_owned()),
    }
}
