//! What the fake and the real API server have in common, which is everything but the faults.
//!
//! Each behaviour is a function over an API and a namespace of its own. What a caller may branch on is compared: codes,
//! reasons, causes and objects, never the wording.

mod api;
mod identity;
mod ownership;
mod reading;
mod refusals;
mod status;
mod watching;

use std::panic::AssertUnwindSafe;

use api::Api;
use futures_util::FutureExt;

/// Runs behaviours one after another, each in a namespace that is called after it, and names those that failed.
macro_rules! failing {
    ($api:expr, $($module:ident::{$($name:ident),+ $(,)?}),+ $(,)?) => {{
        let mut failing = Vec::new();
        $($(
            let namespace = stringify!($name).replace('_', "-");
            $api.namespace(&namespace);
            let behaviour = AssertUnwindSafe($module::$name(&$api, &namespace));
            if behaviour.catch_unwind().await.is_err() {
                failing.push(stringify!($name));
            }
        )+)+
        failing
    }};
}

async fn keeps_the_contract(mut api: Api) {
    let failing = failing!(
        api,
        identity::{
            an_apply_creates_and_then_changes,
            what_changes_nothing_is_not_written,
            a_stale_version_is_refused,
            another_identity_is_refused,
            what_was_deleted_is_gone_and_may_come_again,
        },
        ownership::{
            fields_of_others_are_not_touched,
            a_field_of_another_manager_is_a_conflict_unless_forced,
            equal_values_are_owned_together,
            what_is_no_longer_applied_is_removed,
            a_merge_patch_takes_what_it_changes,
        },
        status::{
            an_apply_does_not_write_the_status,
            a_worker_writes_the_status_and_nothing_else,
            a_status_can_be_replaced_and_applied,
            conditions_are_owned_one_by_one,
        },
        refusals::{
            namespaces_that_are_missing_or_go,
            objects_that_the_definition_does_not_allow,
            identity_fields_may_change_as_far_as_the_definition_says,
            metadata_that_no_object_has,
            requests_that_make_no_sense,
        },
        reading::{
            lists_come_in_parts_of_one_state,
            lists_are_selected_by_labels_and_fields,
            namespaces_say_whether_they_go,
        },
        watching::{
            changes_are_told_in_order,
            a_watch_without_a_version_begins_with_what_is_there,
            what_leaves_the_selection_is_told_as_deleted,
            a_watch_ends_when_its_time_is_over,
        },
    );
    assert_eq!(failing, [""; 0]);
    api.namespace("too-old");
    watching::what_is_too_old_is_told_as_gone(&mut api, "too-old").await;
}

#[tokio::test]
async fn the_fake_behaves_as_an_api_server() {
    keeps_the_contract(Api::fake().await).await;
}

#[tokio::test]
async fn the_api_server_behaves_as_the_fake_does() {
    keeps_the_contract(Api::real().await).await;
}
