//! The contract of `Catalog`, line by line, for every backend: each test is an async function of
//! `&dyn Catalog`.

mod accounts;
#[path = "../../../../tests/support/authority.rs"]
mod authority;
mod drafts;
mod filling;
mod fixtures;
mod images;
mod imports;
mod keys_and_variants;
mod lists;
mod many;
mod model_based;
mod nodes;
mod notifications;
mod notified;
#[path = "../../../../tests/support/postgres.rs"]
mod postgres;
mod races;
mod records;
mod sqlite;
mod sweep;
mod tls;
mod tokens;
mod upgrades;

/// Runs each test on each backend.
macro_rules! suite {
    ($($module:ident :: $name:ident,)*) => {
        mod on_sqlite {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    let vault = store::Vault::from_key([7; 32]);
                    let catalog = store::Sqlite::open_in_memory(vault).await.unwrap();
                    crate::$module::$name(&catalog).await;
                }
            )*
        }
        mod on_postgres {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    if let Some(url) = crate::postgres::database() {
                        let catalog = crate::nodes::node(&url).await;
                        crate::$module::$name(&catalog).await;
                    }
                }
            )*
        }
    };
}

suite! {
    accounts::a_created_account_is_found,
    accounts::a_taken_account_is_refused_whole,
    accounts::accounts_are_listed_oldest_first,
    accounts::settings_change_only_from_what_they_are,
    accounts::a_deleted_account_leaves_nothing,
    accounts::a_deleted_account_spares_the_others,
    accounts::a_large_account_is_deleted_in_steps,
    tokens::a_token_is_found_by_its_hash,
    tokens::a_taken_hash_is_refused,
    tokens::tokens_are_listed_oldest_first,
    tokens::a_deleted_token_is_gone,
    keys_and_variants::a_key_is_added_rotated_and_limited,
    keys_and_variants::the_last_key_has_a_successor,
    keys_and_variants::keys_of_accounts_are_apart,
    keys_and_variants::variants_are_listed_public_first,
    keys_and_variants::a_taken_variant_is_refused,
    keys_and_variants::variants_are_limited,
    keys_and_variants::a_variant_changes_only_from_what_it_is,
    keys_and_variants::a_deleted_variant_is_gone,
    images::an_inserted_image_is_found,
    images::a_taken_id_is_refused,
    images::ids_are_compared_byte_by_byte,
    images::uploads_are_strictly_ordered,
    images::an_account_holds_no_more_than_it_may,
    images::an_image_needs_an_account,
    images::an_edit_changes_what_it_names,
    images::access_is_part_of_a_generated_id,
    images::an_edit_to_a_taken_id_is_refused,
    images::a_deleted_image_is_gone,
    images::a_refused_insert_leaves_its_reservation,
    drafts::a_draft_is_found_but_not_listed,
    drafts::a_draft_takes_its_id,
    drafts::a_draft_is_filled_once,
    drafts::a_draft_expires,
    drafts::a_filled_draft_follows_the_rules_of_an_image,
    drafts::a_draft_is_edited_and_deleted,
    drafts::expired_drafts_are_deleted,
    lists::a_list_goes_both_ways,
    lists::pages_meet_without_gap_or_overlap,
    lists::a_list_is_of_one_creator,
    lists::numbered_pages_agree_with_the_list,
    lists::counts_equal_lists,
    lists::sparse_matches_fill_their_page,
    lists::a_frequent_range_of_numbers_is_in_order,
    lists::values_of_every_kind_are_found,
    lists::an_unknown_account_lists_nothing,
    lists::standing_images_are_listed_once_under_writes,
    many::a_tenth_of_very_many_images_is_deleted,
    races::one_of_many_inserts_wins,
    races::one_of_many_fillings_wins,
    races::one_of_many_keys_finds_place,
    races::a_reservation_is_taken_or_lapses,
    imports::sources_are_kept_and_listed_oldest_first,
    imports::a_job_is_carried_out_by_one_process,
    imports::a_job_which_ends_is_let_go,
    imports::jobs_take_turns,
    imports::a_job_goes_with_its_account,
    imports::an_image_takes_the_place_of_another,
    imports::what_was_done_of_an_aborted_job_counts,
    imports::failures_are_logged_behind_everything_else,
    notifications::webhooks_are_kept_and_listed_oldest_first,
    notifications::a_policy_changes_only_from_what_it_is,
    notifications::the_end_of_a_draft_is_noted_with_it,
    notifications::a_notification_is_claimed_until_it_is_told,
    notifications::a_webhook_which_fails_is_left_alone,
    notifications::what_is_refused_for_too_long_is_dropped,
    notifications::edits_of_a_policy_lose_nothing,
    notifications::answers_of_both_kinds_are_noted_at_once,
    notifications::what_waits_goes_with_its_policy_and_account,
    notifications::a_closed_catalog_tells_nobody,
    sweep::a_reservation_lapses,
    sweep::a_reservation_is_taken_once,
    sweep::a_deletion_releases_the_blob_later,
    sweep::abandoned_blobs_are_handed_out_until_forgotten,
    sweep::a_forgotten_reservation_is_gone,
    sweep::a_known_blob_is_known,
    sweep::a_working_catalog_answers,
    records::a_copy_equals_its_source_in_every_record,
    records::a_copied_catalog_goes_on_where_the_source_was,
    records::what_is_in_the_way_of_a_record_goes,
    records::an_image_of_no_account_is_not_put,
    records::a_reading_at_one_moment_sees_no_later_write,
    records::held_blobs_are_not_handed_out,
    records::a_closed_catalog_is_read_and_not_written,
    records::a_catalog_says_what_it_is_filled_from,
    model_based::lists_agree_with_a_simple_model,
}
