//! Faults, each with load running: keys are made, used and revoked all the time; afterwards everything comes together again
//! by itself, with nothing lost and nothing undone. Each [`run`] keeps a [`log`] (`target/faults/*.jsonl`), and a [`checker`]
//! that knows nothing of the fault verifies the promises by it.
//!
//! | fault | under load | one by one |
//! | --- | --- | --- |
//! | control plane killed at each step from commit to receipt | `killed` | `failure::killed_at_any_moment…`, `revocation::tests::push` of the control plane |
//! | hub killed | `pieces::the_hub_is_killed` | `regions::past_a_hub_that_is_gone…` |
//! | region killed; its storage wiped | `pieces::a_region_is_killed_and_one_is_wiped` | `regions::a_region_that_dies…` |
//! | hub and region parted: its lease runs out | `pieces::a_region_is_cut_off_from_the_hub` | `regions::a_region_that_is_cut_off…` |
//! | edge replaced in the middle of a push, with and without its disk | `pieces::the_edge_is_redeployed_in_mid_push` | `failure::a_cold_edge…`, `failure::an_edge_without_its_disk…` |
//! | feed delayed, doubled, reordered, corrupted, cut short | `wire` (control plane → edge; hub → region → gate) | `feed::replayed_and_rolled_back…`, `feed::even_the_feed_key…` |
//! | an older edge under a newer control plane | `wire::an_older_edge…` | `feed::even_the_feed_key…` (an unknown critical kind stops the feed) |
//! | KV ten minutes old | `kv` | |
//! | one side's clock ten minutes off | `clock` | |
//! | two instances on one PostgreSQL | `copies::two_instances…` | `revocation::tests::push` of the control plane |
//! | a database restored from an old backup | `copies::a_database_from_an_old_backup…` | `revocation::tests::restore` |
//! | a clone of the installation beside it | `copies::a_copy_of_the_installation…` | `revocation::tests::copies` |
//! | a stolen feed key during `feed recover` | `copies::a_stolen_feed_key…` | `feed::even_the_feed_key…` |
//! | the promises broken on purpose: an acknowledgement forged, a hub set back, a gate fed old answers | `lies`: the checker finds each | `checker::tests` |

mod checker;
mod clock;
mod copies;
mod killed;
mod kv;
mod lies;
mod log;
mod pieces;
mod run;
mod wire;
