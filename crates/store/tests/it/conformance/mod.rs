//! What every store must do, asserted through [`StateStore`](seawall_store::StateStore) alone.
//!
//! A store joins with `conformance!(TheStoreUnderTest)`. Rules are tested with the clock as an argument; waiting is only
//! for what a store does by itself, and always for a condition.

pub mod adoption;
pub mod batches;
pub mod dedup;
pub mod life;
pub mod lists;
pub mod phases;
pub mod policy;
pub mod publishing;
pub mod scale;
pub mod status;
pub mod storm_life;
pub mod storms;
pub mod watch;

macro_rules! conformance {
    ($store:ty) => {
        conformance! { @cases $store;
            storms {
                fifteen_alerts_at_once_are_one_request_a_hundred_times,
                fifteen_alerts_one_after_another_are_one_request,
                fifteen_alerts_in_one_body_are_one_request,
                fifteen_alerts_delivered_twice_at_once_are_one_request_with_thirty_occurrences,
                nine_alerts_are_nine_requests_of_which_only_the_first_is_not_held,
                the_tenth_alert_is_a_member,
                with_threshold_one_the_first_alert_is_a_storm,
                a_burst_below_the_threshold_is_no_storm,
                a_slow_storm_supersedes_the_requests_that_were_already_there,
                nine_late_in_a_minute_and_nine_early_in_the_next_are_a_storm,
                what_has_slid_out_of_the_window_does_not_count,
                other_alerts_between_those_of_a_storm_keep_their_own_requests,
                the_same_name_in_two_namespaces_is_two_storms,
                ten_names_in_one_namespace_are_no_storm,
                sixty_names_in_one_namespace_are_one_flood,
                the_same_resource_again_is_counted_and_listed_once,
                fifteen_nodes_are_one_storm_of_cluster_scoped_signals,
                the_same_namespace_in_two_clusters_is_two_storms,
                sixty_crashing_pods_and_a_stranger_are_a_storm_and_a_request,
                a_problem_that_reopens_at_once_in_another_group_counts_only_there,
                a_request_that_is_being_acted_on_is_linked_and_left_alone,
                the_first_request_may_be_held_as_well,
            }
            storm_life {
                after_quiet_a_storm_has_ended_and_a_later_alert_starts_afresh,
                a_repeat_keeps_a_storm_open,
                after_its_longest_duration_a_storm_is_continued_and_linked,
                when_all_members_are_resolved_so_is_the_storm,
                a_flapping_storm_stays_one_request,
                finishing_the_request_of_a_storm_ends_it,
                a_storm_can_be_looked_at_with_its_members_page_by_page,
                storms_are_listed_the_newest_first,
                a_storm_survives_a_crash_with_its_members_and_counts,
                held_requests_survive_a_crash_and_are_published,
                held_requests_become_members_after_a_crash_too,
            }
            dedup {
                a_repeat_names_the_request_and_carries_count_and_times,
                a_hundred_identical_alerts_at_once_are_one_request,
                the_timer_restarts_with_every_signal,
                a_resolved_alert_creates_nothing,
                a_flapping_alert_stays_one_request,
                severity_rises_and_never_falls,
                a_new_incident_names_the_request_before_it,
                problems_that_look_alike_are_kept_apart,
                the_clock_going_back_neither_ends_nor_reopens_anything,
                repeats_across_a_crash_count_on,
                explain_tells_why,
                explain_tells_of_problems_that_have_left_memory,
                explain_knows_nothing_of_strangers,
            }
            phases {
                a_pending_request_is_released_by_silence,
                a_request_that_is_worked_on_stays_open_in_silence,
                a_finished_request_takes_repeats_for_the_cooldown_and_is_never_reused,
                a_phase_survives_a_crash,
                a_late_end_of_work_still_starts_the_cooldown,
                a_late_beginning_of_work_keeps_the_problem_open,
                a_late_resolved_alert_marks_the_request,
                a_finished_request_stays_finished,
            }
            batches {
                a_batch_is_decided_in_order,
                an_empty_batch_is_decided,
                a_batch_sees_its_own_repeats,
                a_caller_that_goes_away_cancels_nothing,
                what_was_answered_survives_a_crash,
                a_reader_never_sees_what_a_crash_takes_back,
            }
            scale {
                a_hundred_distinct_alerts_at_once_are_a_hundred_requests,
                a_thousand_distinct_alerts_at_once_are_a_thousand_requests,
                ten_thousand_alerts_of_one_group_are_one_bounded_request,
                ten_thousand_problems_do_not_mix,
            }
            lists {
                requests_are_listed_by_namespace_and_name_page_by_page,
                a_list_can_be_narrowed_to_a_namespace,
                a_list_can_be_narrowed_to_a_phase,
                a_list_can_be_narrowed_to_a_problem,
                a_list_can_be_narrowed_to_storms_or_to_the_rest,
                a_list_can_be_narrowed_to_what_changed,
                filters_combine_and_pages_stay_full,
                a_list_contains_everything_up_to_its_revision,
                a_request_that_does_not_exist_is_not_found,
                a_held_request_is_not_listed,
            }
            watch {
                a_watcher_hears_of_a_new_request_at_once,
                repeats_are_told_at_most_once_per_flush_interval,
                a_repeat_after_a_pause_is_told_at_once,
                a_growing_storm_is_told_at_most_once_per_flush_interval,
                reports_of_workers_are_told_at_most_once_per_flush_interval,
                a_held_request_is_told_when_it_comes_to_exist,
                the_end_of_a_storm_is_told,
                revisions_only_grow,
                whoever_lagged_behind_lists_what_was_missed,
                whoever_comes_back_after_a_crash_misses_nothing,
                what_is_told_can_be_read,
            }
            status {
                a_report_is_merged_into_the_status,
                null_removes_a_field,
                an_unknown_field_is_invalid_and_changes_nothing,
                a_field_of_the_wrong_type_is_invalid,
                a_report_about_a_stranger_is_not_found,
                a_report_about_a_held_request_is_not_found,
                a_status_survives_a_crash,
                a_superseded_request_takes_reports,
                reports_at_once_all_count,
            }
            policy {
                another_threshold_holds_from_the_next_batch_on,
                another_silence_timer_holds_for_open_incidents,
                a_rule_that_is_gone_leaves_its_storm_open,
            }
            publishing {
                a_new_request_is_told_at_once_and_remembered_until_it_is_placed,
                an_update_is_told_when_its_flush_is_due_and_survives_a_crash,
                a_note_of_an_earlier_change_changes_nothing,
                an_early_note_does_not_settle_a_later_change,
                a_deleted_request_releases_its_problem_without_a_cooldown,
                a_request_that_was_never_published_cannot_be_deleted,
                deleting_the_request_of_a_storm_ends_it,
                what_is_not_published_is_kept_beyond_its_retention,
                nothing_is_told_when_requests_live_in_the_store,
            }
            adoption {
                nothing_is_decided_before_what_is_open_was_taken_over,
                an_empty_cluster_is_taken_over_at_once,
                a_storm_is_taken_over_with_its_members,
                unlisted_members_join_again_and_totals_are_said_to_be_inexact,
                superseded_requests_are_taken_over_as_they_are,
                what_was_taken_over_is_published_again_in_a_newer_epoch,
                a_phase_is_taken_over_and_ends_by_a_report,
                a_person_may_delete_what_was_taken_over,
                taking_over_twice_changes_nothing,
                what_is_known_goes_before_what_is_taken_over,
            }
            life {
                finished_requests_leave_after_their_retention,
                a_request_that_is_worked_on_is_kept,
                a_closed_store_is_unavailable,
                closing_keeps_everything,
                statistics_follow_what_happens,
                a_store_that_works_is_healthy,
                memory_is_given_back_when_everything_is_over,
            }
        }
    };
    (@cases $store:ty; $($area:ident { $($case:ident,)* })*) => {
        $(mod $area {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    crate::conformance::$area::$case::<$store>().await;
                }
            )*
        })*
    };
}
