"""What is promised, and the tests that would fail if it were untrue.

An id stands at the beginning of a line, with its gloss; below it, one to a line, its tests.  `rule-`, U and V are the
numbered rules of what clients send and need, A01 to K14 the cases of faults and abuse, mirror-F1 to mirror-F17 what
mirrors do, `decision-` the numbered decisions, the rest what is said of the server as a whole.
tests/test_promises.py holds that no id is missing and that every test exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Promise:
    """One line of the table."""

    gloss: str
    tests: tuple[str, ...]
    """As pytest takes them, without parameters."""


def _read(table: str) -> dict[str, Promise]:
    found: dict[str, Promise] = {}
    for line in filter(None, table.splitlines()):
        if line.startswith(" "):
            name, promise = found.popitem()
            found[name] = Promise(promise.gloss, (*promise.tests, line.strip()))
        else:
            name, _, gloss = line.partition(" ")
            assert name not in found, f"{name} stands there twice"
            found[name] = Promise(gloss.strip(), ())
    return found


_RULES = """
rule-1   a normalised name is answered directly
    tests/test_index.py::test_a_normalised_name_is_answered_directly
rule-2   other spellings lead to one address
    tests/test_index.py::test_other_spellings_lead_to_the_one_true_address
    tests/test_paths.py::test_what_a_target_asks_for
rule-3   301 only for what never changes
    tests/test_index.py::test_other_spellings_lead_to_the_one_true_address
    tests/test_index.py::test_a_wheel_is_served_with_what_downloaders_need
    tests/test_paths.py::test_a_redirect_never_echoes_what_was_asked
rule-4   an upload is never redirected
    tests/e2e/test_uploaders.py::test_files_are_taken_once_and_never_change
rule-5   double slashes do no harm
    tests/test_index.py::test_double_slashes_prefixes_and_encodings_are_the_same_page
    tests/test_paths.py::test_what_a_target_asks_for
rule-6   plus and percent codes mean themselves
    tests/test_paths.py::test_what_a_target_asks_for
    tests/e2e/test_lock.py::test_a_plus_in_a_version_is_found_as_pip_and_as_uv_spell_it
rule-7   links relative, resolved where found
    tests/test_model.py::test_links_are_relative_and_quoted_as_pip_would
    tests/test_mirrors.py::test_links_are_resolved_against_where_the_page_was_found
    tests/test_simple_read.py::test_links_are_relative_to_where_the_page_was_found
    tests/test_simple_read.py::test_provenance_is_an_absolute_address_or_nothing
rule-8   a file's address never changes
    tests/test_simple_write.py::test_html_and_json_say_the_same_of_each_file
    tests/test_files.py::test_a_page_does_not_change_with_what_is_kept_of_its_files
    tests/test_pages.py::test_failing_over_to_an_equal_page_changes_nothing_that_clients_see
    tests/e2e/test_lock.py::test_a_lock_differs_from_a_mirrors_in_the_host_alone
rule-9   an address ends in the filename
    tests/test_index.py::test_links_are_relative_and_end_in_the_filename
    tests/test_model.py::test_metadata_is_added_to_the_path_of_a_url_and_not_to_its_query
rule-10  other prefixes are the same index
    tests/test_index.py::test_double_slashes_prefixes_and_encodings_are_the_same_page
    tests/test_paths.py::test_what_a_target_asks_for
rule-11  HEAD everywhere, saying what GET says
    tests/test_index.py::test_head_says_what_get_would
    tests/test_rules.py::test_every_route_answers_head_as_it_answers_get
    tests/test_files.py::test_a_head_before_the_file_is_here_says_what_a_get_says_then
    tests/test_sending.py::test_head_says_what_get_says_and_sends_no_body
rule-12  three representations, by quality
    tests/test_negotiate.py::test_real_clients_get_what_they_can_read
    tests/test_negotiate.py::test_quality_and_wildcards_decide
    tests/test_index.py::test_the_representation_that_each_client_gets
    tests/test_rules.py::test_the_root_list_is_negotiated_as_pages_are
rule-13  whoever asks for anything gets HTML
    tests/test_negotiate.py::test_real_clients_get_what_they_can_read
    tests/test_negotiate.py::test_between_equals_warehouses_order_decides
rule-14  nothing suitable is HTML, not 406
    tests/test_negotiate.py::test_who_wants_nothing_we_have_gets_text_html_and_no_error
    tests/test_negotiate.py::test_a_quality_of_zero_excludes_a_type
rule-15  latest is answered as v1
    tests/test_index.py::test_the_representation_that_each_client_gets
    tests/test_negotiate.py::test_latest_means_version_one
rule-16  the format parameter wins
    tests/test_index.py::test_the_format_parameter_wins_over_accept
    tests/test_negotiate.py::test_the_format_parameter_wins_with_its_plus_or_with_a_space_for_it
rule-17  content types to the letter
    tests/test_index.py::test_the_representation_that_each_client_gets
    tests/test_index.py::test_uv_reads_errors_as_json
    tests/test_web_uploads.py::test_uv_reads_the_error_as_json
rule-18  every answer has a type
    tests/test_index.py::test_the_representation_that_each_client_gets
    tests/test_rules.py::test_the_root_list_is_negotiated_as_pages_are
    tests/test_rules.py::test_what_came_with_an_error_is_short_and_plain
rule-19  Vary on 200 and 304
    tests/test_index.py::test_each_representation_has_its_own_strong_tag_and_304_repeats_it
    tests/test_rules.py::test_the_root_list_is_negotiated_as_pages_are
rule-20  valid HTML, an anchor each file
    tests/test_simple_write.py::test_a_page_in_html_is_warehouses_to_the_letter
    tests/test_simple_write.py::test_there_is_one_anchor_for_each_file_and_its_text_is_the_filename
rule-21  attribute values are escaped
    tests/test_simple_write.py::test_nothing_that_an_upstream_says_becomes_markup
    tests/test_simple_write.py::test_the_expressions_of_hatch_find_every_filename
    tests/test_simple_write.py::test_html_is_read_as_it_was_written
rule-22  Warehouse's shape of a link
    tests/test_simple_write.py::test_a_page_in_html_is_warehouses_to_the_letter
rule-23  a fragment is sha256 alone
    tests/test_simple_write.py::test_a_fragment_is_sha256_or_there_is_none
    tests/test_simple_read.py::test_only_well_formed_digests_of_known_kinds_are_kept
rule-24  empty data-yanked is a yank
    tests/test_simple_write.py::test_a_page_in_html_is_warehouses_to_the_letter
    tests/test_simple_write.py::test_what_is_not_known_is_no_attribute
    tests/test_simple_read.py::test_in_html_an_empty_yank_is_one_and_none_is_none
rule-25  core metadata under both names
    tests/test_simple_write.py::test_a_page_in_html_is_warehouses_to_the_letter
    tests/test_simple_write.py::test_metadata_that_is_not_there_is_not_spoken_of
rule-26  provenance and status in HTML
    tests/test_simple_write.py::test_a_page_in_html_is_warehouses_to_the_letter
    tests/test_simple_write.py::test_a_projects_state_is_in_the_head
rule-27  the root links bare names
    tests/test_simple_write.py::test_a_root_listing_in_html_links_the_bare_name
    tests/test_index.py::test_the_root_list_holds_our_names_and_the_indexs
rule-28  UTF-8, and said so
    tests/test_simple_write.py::test_nothing_that_an_upstream_says_becomes_markup
    tests/test_index.py::test_the_representation_that_each_client_gets
rule-29  the keys of a JSON page
    tests/test_simple_write.py::test_a_file_in_json_says_all_that_is_known
    tests/test_simple_write.py::test_a_projects_state_is_at_the_top_level
    tests/test_simple_write.py::test_json_ends_with_a_newline_and_is_utf8
rule-30  no key is ever null
    tests/test_simple_write.py::test_what_is_not_known_is_left_out_and_never_null
    tests/test_index.py::test_no_key_of_a_json_page_is_null
rule-31  yanked is bool or reason
    tests/test_simple_read.py::test_a_yank_is_a_word_or_a_reason
    tests/test_simple_read.py::test_in_html_an_empty_yank_is_one_and_none_is_none
    tests/test_simple_write.py::test_true_stays_true_in_json
    tests/test_simple_write.py::test_html_and_json_say_the_same_of_each_file
rule-32  times in UTC, also private ones
    tests/test_simple_read.py::test_an_upload_time_is_told_in_utc
    tests/test_simple_read.py::test_a_time_that_nobody_can_place_is_dropped
    tests/test_simple_write.py::test_a_file_in_json_says_all_that_is_known
    tests/test_stores.py::TestDiskStore::test_what_was_added_is_listed_as_told_with_the_time_of_receipt
    tests/test_stores.py::test_everything_is_there_after_reopening
rule-33  sizes, or an older version declared
    tests/test_simple_write.py::test_a_page_with_a_file_of_unknown_size_declares_version_one_point_nought
    tests/test_simple_read.py::test_what_is_no_size_is_dropped
rule-34  hashes: known kinds, sha256 for ours
    tests/test_simple_read.py::test_only_well_formed_digests_of_known_kinds_are_kept
    tests/test_upload.py::test_a_file_says_what_its_archive_says
rule-35  requires-python as it came
    tests/test_simple_read.py::test_requires_python_is_handed_on_as_it_is
    tests/test_simple_write.py::test_a_file_in_json_says_all_that_is_known
rule-36  core-metadata and its alias
    tests/test_simple_read.py::test_core_metadata_is_promised_under_any_of_its_names
    tests/test_simple_read.py::test_the_name_of_pep_714_wins_over_the_older_one
    tests/test_simple_write.py::test_a_file_in_json_says_all_that_is_known
rule-37  versions unique, sorted, normalised
    tests/test_names.py::test_versions_are_told_by_the_filenames_whatever_they_are_spelled_like
    tests/test_simple_read.py::test_versions_are_unique_sorted_and_strings
    tests/test_simple_read.py::test_versions_are_counted_where_none_are_listed
rule-38  files in one order, once each
    tests/test_simple_read.py::test_files_stand_in_the_order_of_their_names
    tests/test_simple_read.py::test_of_two_entries_with_one_filename_the_first_counts
    tests/test_simple_write.py::test_the_same_page_is_the_same_bytes
rule-48  only pages are packed, if asked
    tests/test_index.py::test_gzip_only_for_who_asks
    tests/test_index.py::test_the_tags_of_all_representations_differ
    tests/test_negotiate.py::test_compression_is_for_those_who_ask_for_it
rule-49  a file never has a coding
    tests/test_sending.py::test_a_whole_file_comes_with_its_validators
    tests/test_index.py::test_a_wheel_is_served_with_what_downloaders_need
    tests/test_upstream_index.py::test_a_file_in_a_coding_is_refused
rule-50  pkg.tar is not pkg.tar.gz
    tests/test_sending.py::test_an_archive_beside_its_compressed_self_is_not_mixed_up
rule-51  octets, without Content-Disposition
    tests/test_index.py::test_a_wheel_is_served_with_what_downloaders_need
    tests/test_sending.py::test_a_whole_file_comes_with_its_validators
rule-52  a length always, else a cut
    tests/test_files.py::test_the_first_bytes_come_before_the_last_are_here
    tests/test_files.py::test_a_file_that_ends_early_everywhere_is_cut_off_too
    tests/test_sending.py::test_a_file_shorter_than_announced_breaks_the_connection
rule-53  single ranges, 206 and 416
    tests/test_sending.py::test_one_range_is_206
    tests/test_sending.py::test_an_unsatisfiable_range_is_416_and_the_connection_goes_on
    tests/test_sending.py::test_other_ranges_are_ignored
    tests/test_conditions.py::test_a_range_gives_the_bytes_that_it_names
rule-54  ranges of what is not here
    tests/test_files.py::test_any_other_range_follows_the_download_to_its_verified_end
    tests/test_files.py::test_ranges_and_conditions_are_judged_before_the_bytes_are_here
    tests/faults/test_crowd.py::test_a_range_of_a_file_that_nobody_holds_is_the_right_part_of_it
rule-55  If-Range by tag and date
    tests/test_sending.py::test_a_download_is_resumed_only_where_the_file_is_the_same
    tests/test_conditions.py::test_if_range_wants_the_very_same_bytes
rule-56  identity is honoured
    tests/test_negotiate.py::test_compression_is_for_those_who_ask_for_it
    tests/test_sending.py::test_a_whole_file_comes_with_its_validators
rule-57  first bytes soon, no end of time
    tests/test_files.py::test_the_first_bytes_come_before_the_last_are_here
    tests/test_rules.py::test_a_download_has_no_time_limit_as_a_whole
    tests/faults/test_crowd.py::test_a_crowd_at_one_cold_file_costs_one_transfer_and_nobody_waits_for_its_end
rule-58  pages are always revalidated
    tests/test_index.py::test_each_representation_has_its_own_strong_tag_and_304_repeats_it
    tests/test_rules.py::test_the_root_list_is_negotiated_as_pages_are
rule-59  strong tags, of the content
    tests/test_index.py::test_each_representation_has_its_own_strong_tag_and_304_repeats_it
    tests/test_index.py::test_the_tags_of_all_representations_differ
    tests/test_simple_write.py::test_the_same_page_is_the_same_bytes
    tests/test_rules.py::test_a_packed_page_is_the_same_bytes_at_any_time
rule-60  304 repeats the tag
    tests/test_index.py::test_each_representation_has_its_own_strong_tag_and_304_repeats_it
    tests/test_sending.py::test_what_the_client_has_is_304
rule-61  files are immutable, errors not
    tests/test_index.py::test_a_wheel_is_served_with_what_downloaders_need
    tests/test_files.py::test_a_head_before_the_file_is_here_says_what_a_get_says_then
    tests/test_files.py::test_a_listed_file_that_no_mirror_has_is_404_after_another_look_at_its_page
    tests/test_sending.py::test_a_whole_file_comes_with_its_validators
rule-62  a Date always
    tests/test_index.py::test_each_representation_has_its_own_strong_tag_and_304_repeats_it
    tests/test_sending.py::test_a_whole_file_comes_with_its_validators
rule-63  nobody stores an error
    tests/test_index.py::test_an_unknown_project_is_404_and_not_stored_by_anybody
    tests/test_index.py::test_a_closed_index_asks_for_a_password_everywhere
    tests/test_files.py::test_where_no_mirror_gives_it_the_answer_is_unknown_and_not_absent
    tests/test_rules.py::test_a_404_is_forgotten_with_the_first_upload
    tests/test_pages.py::test_a_404_of_every_mirror_is_believed_for_a_short_time
rule-65  no serial of somebody else
    tests/test_index.py::test_a_page_runs_nothing_in_a_browser_and_may_be_read_from_other_origins
rule-66  readable from other origins
    tests/test_index.py::test_a_page_runs_nothing_in_a_browser_and_may_be_read_from_other_origins
rule-67  unknown projects are 404
    tests/test_index.py::test_an_unknown_project_is_404_and_not_stored_by_anybody
rule-68  precedence by pages, not errors
    tests/test_repository.py::test_a_reserved_name_without_files_is_an_empty_page_and_not_absent
    tests/e2e/test_precedence.py::test_uv_does_not_look_for_our_name_at_its_next_index
rule-69  stale or 503, never partial
    tests/test_index.py::test_an_outage_is_503_with_whole_seconds
    tests/test_pages.py::test_pages_are_answered_for_as_long_as_an_outage_lasts
    tests/test_pages.py::test_a_cold_page_is_unknown_while_mirrors_are_down_and_asked_for_each_time
    tests/test_repository.py::test_an_overlaid_name_is_not_answered_in_part_while_the_index_is_down
rule-70  private names need no upstream
    tests/test_repository.py::test_the_index_is_never_asked_about_an_uploaded_name
    tests/test_files.py::test_a_file_of_a_private_project_needs_no_index
rule-71  statuses that clients try again
    tests/test_web_uploads.py::test_every_error_has_its_status
    tests/test_web_uploads.py::test_the_same_upload_again_is_fine_and_other_bytes_are_not
rule-72  Retry-After in whole seconds
    tests/test_index.py::test_an_outage_is_503_with_whole_seconds
    tests/test_upstream_index.py::test_how_long_to_wait_is_told_within_reason
rule-73  errors are short and plain
    tests/test_rules.py::test_what_came_with_an_error_is_short_and_plain
    tests/test_index.py::test_a_failure_of_our_own_is_one_sentence_and_no_traceback
rule-74  quarantined means no files
    tests/test_simple_read.py::test_a_quarantined_project_has_no_files
    tests/test_simple_read.py::test_other_states_keep_their_files
    tests/test_simple_write.py::test_a_projects_state_is_at_the_top_level
rule-75  POST to the index: 405
    tests/test_index.py::test_a_post_to_the_index_names_the_upload_address
rule-76  Basic and Bearer, any name, any bytes
    tests/test_auth.py::test_every_401_carries_the_challenge
    tests/test_auth.py::test_names_and_passwords_beyond_ascii_arrive_whole
    tests/test_auth.py::test_a_token_is_taken_as_any_users_password_and_as_a_bearers
    tests/test_auth.py::test_a_token_in_place_of_the_name_needs_no_password
    tests/test_closed_reading.py::test_who_has_not_signed_in_is_told_the_same_at_every_address
    tests/e2e/test_tokens.py::test_a_token_opens_the_index_wherever_it_is_kept
rule-77  who has not signed in: 401, never 404
    tests/test_closed_reading.py::test_who_has_not_signed_in_is_told_the_same_at_every_address
    tests/test_index.py::test_a_closed_index_asks_for_a_password_everywhere
    tests/e2e/test_uploaders.py::test_where_reading_is_for_users_the_index_url_carries_them
    tests/e2e/test_tokens.py::test_a_private_name_that_uv_may_not_read_is_not_taken_from_the_next_index
rule-78  files on the host of their index
    tests/test_index.py::test_links_are_relative_and_end_in_the_filename
    tests/e2e/test_uploaders.py::test_where_reading_is_for_users_the_index_url_carries_them
    tests/e2e/test_documents.py::test_where_reading_is_for_users_pip_compile_takes_them_from_our_json_too
rule-79  one lock for all routes, before 304 and 404
    tests/test_closed_reading.py::test_who_has_not_signed_in_is_told_the_same_at_every_address
    tests/test_closed_reading.py::test_who_has_no_right_to_a_project_sees_nothing_of_it_at_any_address
    tests/test_closed_reading.py::test_what_a_stranger_is_told_does_not_depend_on_what_there_is
    tests/test_closed_reading.py::test_a_list_that_one_has_seen_is_not_confirmed_to_another
    tests/e2e/test_documents.py::test_where_reading_is_for_users_nobody_else_learns_what_is_here
rule-80  no page to sign in at, no cookies
    tests/test_closed_reading.py::test_who_has_not_signed_in_is_told_the_same_at_every_address
    tests/test_closed_reading.py::test_who_may_read_a_project_reads_it_at_every_address
rule-81  wrong credentials end an upload
    tests/test_auth.py::test_a_401_does_not_tell_whether_the_user_exists
    tests/e2e/test_upload_matrix.py::test_a_wrong_password
    tests/e2e/test_upload_matrix.py::test_a_token_of_another_index
    tests/e2e/test_upload_matrix.py::test_a_token_that_was_revoked
rule-82  probes for trusted publishing: 404 soon
    tests/test_index.py::test_what_is_not_here_is_a_plain_404
    tests/e2e/test_tokens.py::test_a_probe_for_trusted_publishing_is_answered_at_once
rule-86  an upload is seen before its 200
    tests/test_index.py::test_an_upload_shows_at_once_in_every_representation
    tests/test_rules.py::test_a_404_is_forgotten_with_the_first_upload
    tests/test_documents.py::test_a_document_changes_with_the_page
    tests/test_stores.py::test_other_processes_see_a_change_at_once
    tests/test_stores.py::test_others_are_told_of_a_change_once_it_is_on_the_disk
rule-89  the JSON of a project and of a version
    tests/test_documents.py::test_a_document_has_warehouses_keys
    tests/test_documents.py::test_a_file_is_described_as_warehouse_does
    tests/test_documents.py::test_a_version_has_a_document_of_its_own
    tests/test_documents.py::test_a_version_is_matched_however_it_is_spelled
    tests/test_documents.py::test_info_is_of_the_newest_release_that_people_want
    tests/test_documents.py::test_a_project_without_files_is_not_found
    tests/test_paths.py::test_what_a_target_asks_for
rule-90  who reads it: hashes without a download
    tests/test_documents.py::test_a_url_is_what_pip_makes_of_our_link
    tests/test_documents.py::test_a_document_is_the_same_at_all_its_addresses
    tests/test_documents.py::test_text_that_is_not_there_is_empty_and_no_requirements_are_null
    tests/e2e/test_documents.py::test_pip_compile_takes_all_hashes_from_our_json
    tests/e2e/test_documents.py::test_an_older_pip_compile_takes_them_too
    tests/e2e/test_documents.py::test_pip_compile_downloads_what_has_no_json
    tests/e2e/test_documents.py::test_where_reading_is_for_users_pip_compile_takes_them_from_our_json_too
rule-91  pip search, and a Fault for the rest
    tests/test_search.py::test_a_private_project_is_found_by_name_and_by_summary
    tests/test_search.py::test_every_other_method_is_a_fault_that_says_where_to_look
    tests/test_search.py::test_hostile_calls_are_answered_with_a_fault
    tests/test_search.py::test_any_bytes_are_a_call_or_a_fault
    tests/e2e/test_documents.py::test_pip_search_prints_what_is_here
    tests/e2e/test_documents.py::test_pip_shows_a_fault_as_one_line
rule-92  provenance, and its media types
    tests/test_integrity.py::test_a_page_names_the_provenance_of_a_file_and_there_it_is
    tests/test_integrity.py::test_the_media_type_that_each_client_gets
    tests/test_integrity.py::test_what_is_not_ours_is_404_as_json_and_no_index_is_asked
    tests/test_integrity.py::test_the_provenance_of_an_indexs_file_is_where_the_index_says
rule-93  what old clients ask for
    tests/test_index.py::test_what_is_not_here_is_a_plain_404
    tests/test_paths.py::test_what_a_target_asks_for
    tests/test_upload.py::test_actions_of_old_are_out_of_use_even_without_a_file
    tests/test_rules.py::test_every_route_answers_head_as_it_answers_get
rule-94  what hatch looks at first
    tests/e2e/test_uploaders.py::test_what_hatch_asks_first_is_answered_from_private_files_alone
    tests/e2e/test_upload_matrix.py::test_the_same_again_is_fine
    tests/test_paths.py::test_what_a_target_asks_for
"""
"""Of clients.md: what pip, uv and the others send and need."""

_UPLOADS = """
U1   with and without slash, never redirected
    tests/e2e/test_uploaders.py::test_files_are_taken_once_and_never_change
    tests/test_paths.py::test_what_a_target_asks_for
U2   empty is absent, unknown is ignored
    tests/test_upload.py::test_a_form_may_spell_things_its_own_way
    tests/test_web_uploads.py::test_every_uploader_gets_its_wheel_in
    tests/test_web_uploads.py::test_what_is_wrong_is_said_in_reason_and_body_and_nothing_is_left
U3   the archive is believed
    tests/test_upload.py::test_a_file_says_what_its_archive_says
    tests/test_upload.py::test_a_form_may_spell_things_its_own_way
    tests/test_upload.py::test_a_form_that_contradicts_the_file_is_refused
U4   digests that came are compared
    tests/test_upload.py::test_a_form_that_contradicts_the_file_is_refused
    tests/test_upload.py::test_a_form_may_spell_things_its_own_way
    tests/test_web_uploads.py::test_every_uploader_gets_its_wheel_in
U5   sign-in first, visible last
    tests/test_web_uploads.py::test_whoever_may_not_upload_hears_so_while_still_sending
    tests/test_stores.py::test_when_the_disk_fails_nothing_is_visible_and_the_next_upload_is_fine
    tests/faults/test_kill.py::test_no_step_of_an_upload_can_be_killed_with_a_loss
U6   200, and reasons in both places
    tests/test_web_uploads.py::test_every_uploader_gets_its_wheel_in
    tests/test_web_uploads.py::test_what_is_wrong_is_said_in_reason_and_body_and_nothing_is_left
    tests/test_web_uploads.py::test_a_reason_is_one_short_line_of_ascii
    tests/test_web_uploads.py::test_uv_reads_the_error_as_json
    tests/e2e/test_upload_matrix.py::test_what_was_damaged_on_its_way_is_refused_as_that
    tests/test_web_uploads.py::test_the_way_out_at_the_end_of_a_sentence_is_not_cut_off
U7   the same bytes again: 200
    tests/test_web_uploads.py::test_the_same_upload_again_is_fine_and_other_bytes_are_not
    tests/test_stores.py::TestDiskStore::test_the_same_bytes_again_change_nothing
    tests/e2e/test_uploaders.py::test_files_are_taken_once_and_never_change
    tests/e2e/test_upload_matrix.py::test_the_same_again_is_fine
U8   other bytes: File already exists
    tests/test_web_uploads.py::test_the_same_upload_again_is_fine_and_other_bytes_are_not
    tests/test_stores.py::TestDiskStore::test_a_filename_is_never_given_to_other_bytes
    tests/e2e/test_upload_matrix.py::test_other_bytes_are_refused
    tests/e2e/test_upload_matrix.py::test_who_wishes_so_skips_what_exists
U9   used-up filenames and second sdists
    tests/test_stores.py::TestDiskStore::test_a_removed_file_is_gone_and_its_name_is_used_up
    tests/test_policy.py::test_a_release_has_one_sdist
    tests/test_rules.py::test_a_release_has_one_sdist_whatever_it_is_packed_as
    tests/e2e/test_life_of_a_project.py::test_a_deleted_file_is_gone_at_once_and_its_filename_with_it
U10  hatch finds what exists
    tests/e2e/test_uploaders.py::test_what_hatch_asks_first_is_answered_from_private_files_alone
    tests/e2e/test_upload_matrix.py::test_the_same_again_is_fine
U11  uv compares before it sends
    tests/e2e/test_upload_matrix.py::test_the_same_again_is_fine
    tests/e2e/test_upload_matrix.py::test_other_bytes_are_refused
    tests/e2e/test_uploaders.py::test_uv_that_looks_first_publishes_where_reading_is_for_users
U12  401 with a challenge, 403 if known
    tests/test_auth.py::test_every_401_carries_the_challenge
    tests/test_web_uploads.py::test_what_the_repository_says_is_what_the_client_hears
    tests/e2e/test_uploaders.py::test_wrong_credentials_are_told_as_such
    tests/e2e/test_upload_matrix.py::test_a_wrong_password
    tests/e2e/test_upload_matrix.py::test_a_token_for_other_projects
    tests/test_web_uploads.py::test_whoever_has_no_right_to_the_project_is_refused_and_nothing_is_stored
U13  413 early, and read by clients
    tests/test_web_uploads.py::test_a_length_beyond_the_limit_is_refused_before_anything_is_read
    tests/test_web_uploads.py::test_a_client_that_sends_everything_first_reads_the_answer_too
    tests/e2e/test_uploaders.py::test_who_sends_megabytes_for_nothing_gets_to_read_why
U14  other actions and protocols refused
    tests/test_upload.py::test_actions_of_old_are_out_of_use_even_without_a_file
    tests/test_web_uploads.py::test_what_is_wrong_is_said_in_reason_and_body_and_nothing_is_left
U15  a name of the index is not shadowed
    tests/test_publishing.py::test_the_first_upload_of_a_public_name_is_refused_with_the_way_out
    tests/e2e/test_upload_matrix.py::test_a_name_of_the_index_is_refused_with_the_way_out
    tests/e2e/test_life_of_a_project.py::test_a_public_name_becomes_private_by_an_operators_word_alone
U16  a signature of old does no harm
    tests/test_web_uploads.py::test_every_uploader_gets_its_wheel_in
U17  attestations of this very file, or 400
    tests/test_upload.py::test_attestations_of_this_file_are_fine
    tests/test_upload.py::test_attestations_of_anything_else_are_refused
    tests/test_web_uploads.py::test_attestations_become_the_provenance_of_the_file
    tests/test_web_uploads.py::test_attestations_that_are_none_of_this_file_are_refused_in_words
    tests/test_provenance.py::test_the_object_is_pep_740s_and_its_publisher_claims_no_identity_that_was_not_seen
    tests/test_integrity.py::test_twine_brings_attestations_that_lie_beside_a_wheel
U18  reading an archive has its time
    tests/test_archive.py::TestBombs::test_an_archive_that_takes_too_long
    tests/test_hostile.py::test_no_changed_byte_costs_more_than_the_limits
    tests/e2e/test_upload_matrix.py::test_a_new_wheel_and_a_new_sdist
V1   filenames that fit, old ones too
    tests/test_upload.py::test_filenames_that_do_not_fit_are_refused
    tests/test_upload.py::test_an_sdist_promises_no_metadata
    tests/test_imports.py::test_names_of_before_pep_625_are_taken
    tests/test_strict.py::test_filenames_of_today_are_fine
    tests/test_strict.py::test_an_sdist_is_named_as_pep_625_has_it
V2   wheel names by the rules
    tests/test_upload.py::test_filenames_that_do_not_fit_are_refused
    tests/test_upload.py::test_local_versions_epochs_and_build_tags_are_fine
    tests/test_strict.py::test_a_wheel_is_named_as_the_official_index_wants_it
V3   PEP 440, local versions and epochs
    tests/test_upload.py::test_local_versions_epochs_and_build_tags_are_fine
    tests/test_upload.py::test_metadata_that_clients_could_not_use_is_refused
    tests/test_strict.py::test_local_versions_are_not_for_publishing
V4   names by PEP 508, in ASCII
    tests/test_names.py::test_what_no_project_can_be_called_is_not_found
    tests/test_upload.py::test_a_form_that_contradicts_the_file_is_refused
V5   a wheel every reader reads alike
    tests/test_archive.py::test_a_wheel_without_its_files_is_refused
    tests/test_archive.py::test_a_dist_info_of_something_else_is_refused
    tests/test_archive.py::test_a_member_that_is_not_plainly_inside_is_refused
    tests/test_archive.py::test_other_compressions_are_refused
    tests/test_archive.py::test_bytes_outside_the_members_are_refused
    tests/test_archive.py::test_a_member_that_contradicts_the_directory_is_refused
    tests/test_archive.py::test_a_zip_that_is_a_tar_too_is_refused
    tests/test_archive.py::TestBombs::test_a_zip_that_unpacks_to_too_much
    tests/test_upload.py::test_metadata_that_clients_could_not_use_is_refused
    tests/test_wheels.py::test_entry_points_that_are_not_well_formed_are_refused
    tests/test_wheels.py::test_entry_points_of_every_honest_kind_are_fine
    tests/test_wheels.py::test_a_record_that_lists_other_files_is_remarked_upon_and_no_reason_to_refuse
    tests/test_wheels.py::test_a_wheel_file_that_installers_could_not_use_is_refused
    tests/test_hostile.py::test_what_is_made_to_harm_is_refused_in_words
    tests/test_hostile.py::test_the_line_between_a_bomb_and_a_wheel_that_packs_well
V6   an sdist that stays in its folder
    tests/test_archive.py::test_a_link_that_leads_out_is_refused
    tests/test_archive.py::test_devices_and_odd_members_are_refused
    tests/test_archive.py::test_sparse_files_are_refused
    tests/test_archive.py::test_a_second_top_folder_is_refused
    tests/test_archive.py::test_what_is_cut_off_or_followed_by_something_is_refused
    tests/test_hostile.py::test_what_is_made_to_harm_is_refused_in_words
V7   licence files, in strict mode alone
    tests/test_strict.py::test_license_files_are_in_the_archive
    tests/test_strict.py::test_a_license_of_a_wheel_lies_in_its_folder
    tests/test_upload.py::test_what_keeps_nobody_from_installing_is_not_judged
V8   metadata verbatim, requires-python from it
    tests/test_archive.py::test_metadata_of_wheels_and_sdists_comes_byte_for_byte
    tests/test_archive.py::test_nothing_in_the_metadata_is_changed
    tests/test_web_uploads.py::test_every_uploader_gets_its_wheel_in
V9   time, bytes and members have limits
    tests/test_archive.py::TestBombs::test_an_archive_that_takes_too_long
    tests/test_archive.py::TestBombs::test_millions_of_members
    tests/test_archive.py::TestBombs::test_gigabytes_of_zeros_in_a_tar
    tests/test_hostile.py::test_no_changed_byte_costs_more_than_the_limits
    tests/test_hostile.py::test_nothing_that_is_in_an_archive_touches_the_file_system
"""
"""Of clients.md: uploads (U) and what is checked of them (V)."""

_CASES = """
A01  a flipped byte completes no file
    tests/test_download.py::test_a_flipped_byte_never_arrives_in_a_whole_file_and_the_next_request_heals
    tests/test_files.py::test_a_wrong_file_is_cut_off_and_the_next_request_is_healed
    tests/faults/test_lying_mirrors.py::test_of_a_mirror_that_lies_alone_nobody_takes_a_wrong_file
A02  nor in the last bytes
    tests/test_download.py::test_a_flipped_byte_never_arrives_in_a_whole_file_and_the_next_request_heals
    tests/test_files.py::test_the_tail_is_held_back_until_all_is_verified
A03  cut off, with a length
    tests/test_download.py::test_a_body_shorter_than_listed_is_no_file
    tests/test_files.py::test_a_file_that_ends_early_everywhere_is_cut_off_too
    tests/faults/test_lying_mirrors.py::test_a_lie_that_only_the_digest_tells_is_healed_by_the_next_mirror
A04  cut off, without a length
    tests/test_download.py::test_a_body_shorter_than_listed_is_no_file
    tests/faults/test_lying_mirrors.py::test_of_a_mirror_that_lies_alone_nobody_takes_a_wrong_file
A05  less announced than sent
    tests/test_download.py::test_another_size_than_listed_is_refused_before_a_byte_is_taken
    tests/faults/test_lying_mirrors.py::test_of_a_mirror_that_lies_alone_nobody_takes_a_wrong_file
A06  more announced than listed
    tests/test_download.py::test_another_size_than_listed_is_refused_before_a_byte_is_taken
A07  a body without end
    tests/test_download.py::test_a_body_longer_than_listed_is_cut_short
    tests/test_upstream_index.py::test_more_than_the_limit_is_not_taken
A08  chunks that break off
    tests/test_upstream_index.py::test_a_body_that_breaks_off_is_a_failure
    tests/faults/test_lying_mirrors.py::test_of_a_mirror_that_lies_alone_nobody_takes_a_wrong_file
A09  a file in a coding
    tests/test_upstream_index.py::test_a_file_in_a_coding_is_refused
A10  a packed bomb for a file
    tests/test_upstream_index.py::test_a_file_in_a_coding_is_refused
A11  silence before the head
    tests/test_upstream_index.py::test_silence_is_a_failure
    tests/test_rules.py::test_a_client_hears_of_a_silent_mirror_before_it_gives_up
A12  silence in the middle
    tests/test_upstream_index.py::test_bytes_that_cease_are_a_failure
    tests/test_rules.py::test_a_client_hears_of_a_silent_mirror_before_it_gives_up
A13  a byte now and then
    tests/test_upstream_index.py::test_a_file_that_drips_is_a_stall
A14  a reset at any byte
    tests/test_download.py::test_whatever_breaks_a_client_gets_the_right_file_or_none
    tests/test_upstream_index.py::test_a_bad_line_is_a_failure_at_whatever_byte_it_breaks
A15  200 to a resumption
    tests/test_download.py::test_a_mirror_without_ranges_is_read_over
A16  another part than asked for
    tests/test_upstream_index.py::test_a_part_that_is_not_the_rest_is_refused
A17  another file than before
    tests/test_download.py::test_a_file_without_a_hash_is_not_patched_together_from_two_lines
    tests/test_download.py::test_whatever_breaks_a_client_gets_the_right_file_or_none
A18  listed, and nowhere to be had
    tests/test_files.py::test_a_listed_file_that_no_mirror_has_is_404_after_another_look_at_its_page
    tests/test_mirrors.py::test_a_file_is_absent_only_where_every_mirror_says_so
A19  a failing server
    tests/test_upstream_index.py::test_any_other_status_is_a_failure
    tests/test_mirrors.py::test_whatever_one_mirror_says_instead_of_a_file_the_next_is_asked
    tests/faults/test_outages.py::test_an_old_page_is_answered_through_an_outage_and_through_a_restart_in_it
    tests/faults/test_outages.py::test_a_file_is_absent_only_where_both_mirrors_say_so_and_else_unknown_in_time
A20  429, and for how long
    tests/test_upstream_index.py::test_how_long_to_wait_is_told_within_reason
    tests/test_mirrors.py::test_a_retry_after_is_obeyed_for_pages_and_files
    tests/test_health.py::test_a_retry_after_is_obeyed_to_the_second_whatever_the_need
A21  a HEAD fetches nothing
    tests/faults/test_crowd.py::test_a_head_of_a_file_whose_size_is_not_listed_asks_for_a_byte_and_fetches_nothing
    tests/test_files.py::test_a_head_before_the_file_is_here_says_what_a_get_says_then
    tests/test_index.py::test_a_head_never_starts_a_download
A22  no sha256 on the page
    tests/test_download.py::test_any_listed_hash_is_checked
    tests/test_download.py::test_a_file_without_any_hash_is_pinned_at_first_sight
    tests/test_download.py::test_a_file_without_hash_and_size_cannot_be_had
    tests/e2e/test_second_index.py::test_a_file_without_a_listed_hash_is_not_taken_with_other_bytes_later
A23  other bytes under a known filename
    tests/test_removals.py::test_other_bytes_under_a_known_name_are_not_served_for_a_day
    tests/test_removals.py::test_a_file_that_changes_under_its_name_stays_as_it_was_and_an_operator_is_told
    tests/faults/test_lying_mirrors.py::test_other_bytes_under_a_known_filename_are_not_served_in_its_place
    tests/test_facts.py::test_facts_are_of_the_content_and_not_of_the_filename
A24  two mirrors with other bytes
    tests/faults/test_lying_mirrors.py::test_a_lie_that_only_the_digest_tells_is_healed_by_the_next_mirror
    tests/test_doubts.py::test_an_honest_mirror_is_found_within_a_few_requests
    tests/test_indexes.py::test_unhashed_files_at_one_place_of_two_indexes_are_two_files
    tests/e2e/test_second_index.py::test_two_variants_of_one_filename_are_never_mixed_up
A25  links that lead out
    tests/faults/test_lying_mirrors.py::test_where_a_link_leads_names_no_file_of_ours
    tests/test_model.py::test_a_path_that_only_looks_official_is_made_of_the_digest
    tests/test_simple_read.py::test_a_link_that_is_not_to_be_fetched_takes_its_file_off_the_page
A26  a huge file streams through
    tests/faults/test_pieces.py::test_a_huge_file_passes_through_and_does_not_stay
    tests/test_fetch.py::test_no_more_waits_in_memory_than_was_said
    tests/test_files.py::test_the_first_bytes_come_before_the_last_are_here
A27  metadata that is wrong
    tests/faults/test_lying_mirrors.py::test_a_metadata_file_is_as_sure_as_the_wheel_it_stands_beside
    tests/test_metadata.py::test_a_mirror_with_other_metadata_than_listed_is_healed_from_the_wheel
    tests/test_metadata.py::test_no_bytes_break_the_reader_of_metadata
    tests/test_heal.py::test_a_wrong_digest_is_put_right
A28  certificates nobody vouches for
    tests/test_upstream_index.py::test_a_certificate_counts_only_where_it_is_trusted
    tests/test_upstream_index.py::test_a_certificate_of_another_host_is_not_trusted
    tests/test_upstream_index.py::test_a_certificate_that_has_expired_is_not_trusted
    tests/faults/test_mirror_failures.py::test_f15_a_certificate_that_nobody_vouches_for_is_not_believed
A29  https is not left
    tests/test_upstream_index.py::test_https_is_never_left
B01  a page of a gigabyte
    tests/test_upstream_index.py::test_more_than_the_limit_is_not_taken
B02  a page that is a bomb
    tests/test_upstream_index.py::test_a_gzip_bomb_does_not_go_off
    tests/test_inflate.py::test_a_bomb_is_defused_after_one_piece_too_many
B03  codings nobody asked for
    tests/test_upstream_index.py::test_codings_that_nobody_asked_for_are_refused
B04  brackets without end
    tests/test_simple_read.py::test_what_is_no_project_page_is_the_mirrors_failure
B05  JSON that is none
    tests/test_simple_read.py::test_what_is_no_project_page_is_the_mirrors_failure
    tests/test_simple_read.py::test_no_value_in_json_is_more_than_a_mirrors_failure
    tests/test_simple_read.py::test_no_bytes_are_more_than_a_mirrors_failure
B06  HTML where JSON was asked
    tests/test_upstream_index.py::test_a_mirror_that_only_has_html_gives_html
    tests/test_simple_read.py::test_html_of_a_million_characters_takes_a_breath_at_most
B07  the wrong type declared (decision 21)
    tests/test_simple_read.py::test_the_body_tells_what_it_is_whatever_was_declared
B08  nothing of theirs is markup
    tests/test_simple_write.py::test_nothing_that_an_upstream_says_becomes_markup
    tests/test_simple_read.py::test_base_href_is_honoured_where_it_can_be
    tests/test_simple_read.py::test_a_link_that_is_not_to_be_fetched_takes_its_file_off_the_page
B09  links in odd spellings
    tests/test_simple_read.py::test_a_link_that_is_not_to_be_fetched_takes_its_file_off_the_page
    tests/test_guard.py::test_a_link_that_could_be_read_in_two_ways_is_not_followed
    tests/test_guard.py::test_no_address_inside_and_no_odd_spelling_passes_as_a_link
B10  files of another project
    tests/test_simple_read.py::test_an_entry_that_is_no_file_of_the_project_is_left_out_and_the_rest_served
B11  filenames that are none
    tests/test_simple_read.py::test_an_entry_that_is_no_file_of_the_project_is_left_out_and_the_rest_served
    tests/test_simple_read.py::test_filenames_that_could_mean_a_hundred_projects_do_not_pile_up
B12  200,000 files on a page
    tests/faults/test_pages_catalogue.py::test_b12_a_page_of_200_000_files_is_served_and_nobody_else_waits
B13  yanks of every kind
    tests/test_simple_read.py::test_a_yank_is_a_word_or_a_reason
    tests/test_simple_read.py::test_in_html_an_empty_yank_is_one_and_none_is_none
    tests/test_simple_write.py::test_nothing_that_an_upstream_says_becomes_markup
B14  requires-python of every kind
    tests/test_simple_read.py::test_requires_python_is_handed_on_as_it_is
    tests/test_simple_read.py::test_requires_python_that_says_nothing_is_none
    tests/test_simple_write.py::test_nothing_that_an_upstream_says_becomes_markup
B15  a project in quarantine
    tests/test_simple_read.py::test_a_quarantined_project_has_no_files
    tests/test_mirrors.py::test_a_page_that_says_why_it_is_empty_is_believed_at_once
B16  quarantined after it was cached
    tests/faults/test_pages_catalogue.py::test_b16_a_project_in_quarantine_is_empty_and_its_files_are_not_served
    tests/test_removals.py::test_a_quarantined_project_offers_nothing_from_its_next_page_on
    tests/test_removals.py::test_a_quarantine_is_believed_at_once_and_keeps_nothing
B17  a file that was removed
    tests/faults/test_pages_catalogue.py::test_b17_a_file_that_is_removed_is_not_served_from_the_cache_either
    tests/test_removals.py::test_a_file_that_the_index_removed_is_gone_with_the_next_page
    tests/test_removals.py::test_only_a_page_with_a_higher_serial_drops_a_file_at_once
B18  most files gone, and back
    tests/faults/test_pages_catalogue.py::test_b18_a_page_that_loses_most_of_its_files_for_once_loses_none
    tests/faults/test_pages_catalogue.py::test_b18_a_second_mirror_settles_at_once_whether_files_are_gone
    tests/test_removals.py::test_a_later_page_that_loses_most_of_its_files_is_not_believed_at_once
B19  a project that was removed
    tests/test_pages.py::test_a_project_that_vanishes_is_believed_gone_when_a_second_fetch_agrees
    tests/test_pages.py::test_one_404_between_two_good_answers_changes_nothing
B20  304 for ever
    tests/test_mirrors.py::test_a_page_is_fetched_whole_once_a_day_however_many_304s_came
    tests/test_pages.py::test_a_page_comes_whole_again_after_a_day_of_304s
B21  a serial that goes back
    tests/test_mirrors.py::test_a_page_older_than_the_one_known_is_not_used
    tests/test_mirrors.py::test_where_all_that_answer_are_behind_what_is_known_still_holds
    tests/test_removals.py::test_pages_older_than_what_was_seen_are_no_second_word
B22  odd statuses are no page
    tests/test_upstream_index.py::test_any_other_status_is_a_failure
    tests/test_upstream_index.py::test_bytes_that_are_not_http_are_a_failure
B23  how long a page holds
    tests/faults/test_pages_catalogue.py::test_b23_how_long_a_page_holds_is_ours_to_say
B24  headers of mirrors
    tests/faults/test_pages_catalogue.py::test_b24_no_header_of_a_mirror_is_handed_on
    tests/test_upstream_index.py::test_a_page_is_asked_for_in_json_and_packed_without_cookies_or_credentials
B25  a list of 700,000 names
    tests/faults/test_pages_catalogue.py::test_b25_a_list_of_700_000_names_passes_through_and_does_not_stay
    tests/test_simple_write.py::test_a_root_listing_never_stands_in_memory
B26  a circle of spellings
    tests/test_upstream_index.py::test_a_circle_is_noticed
    tests/test_upstream_index.py::test_five_redirects_are_followed_and_six_are_not
B27  names that resolve badly
    tests/faults/test_pages_catalogue.py::test_b27_a_mirror_whose_name_is_not_known_costs_a_moment
    tests/test_upstream_index.py::test_an_unknown_name_is_a_failure
    tests/test_guard.py::test_a_name_of_fifty_dead_addresses_is_given_up_in_time
B28  other versions of the API
    tests/test_simple_read.py::test_every_minor_version_of_the_api_is_read
    tests/test_simple_read.py::test_another_major_version_is_refused
B29  sizes and times that are none
    tests/test_simple_read.py::test_what_is_no_size_is_dropped
    tests/test_simple_read.py::test_what_is_no_size_in_html_is_dropped
    tests/test_simple_read.py::test_a_time_that_nobody_can_place_is_dropped
B30  links to another host
    tests/faults/test_pages_catalogue.py::test_b30_whether_links_to_another_host_are_followed_is_for_the_operator_to_say
    tests/test_guard.py::test_hosts_narrow_links_but_not_the_mirrors
C01  links to addresses inside
    tests/test_guard.py::test_a_link_elsewhere_never_dials_inwards
    tests/test_guard.py::test_neither_link_nor_redirect_reaches_what_is_inside
C02  addresses in odd spellings
    tests/test_guard.py::test_no_address_inside_and_no_odd_spelling_passes_as_a_link
    tests/test_guard.py::test_the_socket_alone_would_hold_against_every_spelling
C03  names that resolve inwards
    tests/test_guard.py::test_a_name_that_resolves_inwards_is_not_dialled
C04  names that change their mind
    tests/test_guard.py::test_a_name_that_changes_its_mind_gains_nothing
C05  names with both kinds
    tests/test_guard.py::test_of_a_name_s_addresses_only_the_public_ones_are_dialled
C06  redirects inwards
    tests/test_guard.py::test_neither_link_nor_redirect_reaches_what_is_inside
C07  redirects without end
    tests/test_upstream_index.py::test_five_redirects_are_followed_and_six_are_not
    tests/test_upstream_index.py::test_a_circle_is_noticed
    tests/test_upstream_index.py::test_locations_may_be_relative_long_and_requested_as_written
C08  redirects to other schemes
    tests/test_upstream_index.py::test_a_redirect_to_something_else_is_not_followed
C09  a mirror on the LAN, and nothing else
    tests/test_guard.py::test_a_mirror_on_loopback_is_reached_and_its_neighbour_is_not
    tests/test_guard.py::test_a_listed_network_opens_links_to_it
    tests/test_guard.py::test_own_means_the_exact_origin
C10  credentials and redirects
    tests/test_upstream_index.py::test_credentials_go_to_their_own_origin_and_to_no_other
C11  and back at their origin
    tests/test_upstream_index.py::test_credentials_go_to_their_own_origin_and_to_no_other
C12  who asks for credentials
    tests/test_upstream_index.py::test_a_request_for_credentials_is_not_followed_anywhere
C13  URLs from clients
    tests/test_paths.py::test_all_else_is_not_found
    tests/test_paths.py::test_no_target_raises_anything_else
C14  a proxy only if configured
    tests/test_guard.py::test_a_proxy_in_the_environment_is_ignored_unless_configured
C15  a link to ourselves
    tests/test_guard.py::test_a_mirror_on_loopback_is_reached_and_its_neighbour_is_not
    tests/test_guard.py::test_neither_link_nor_redirect_reaches_what_is_inside
C16  links of any text, and 100,000 at length
    tests/test_guard.py::test_any_text_is_judged_or_refused_in_a_sentence
    tests/test_guard.py::test_whatever_passes_leads_to_a_listed_host
    tests/test_guard.py::test_of_a_hundred_thousand_links_none_passes_but_to_a_listed_host
D01  1.0 here beats 99.0 there
    tests/e2e/test_precedence.py::test_pip_and_uv_install_ours_and_the_upstream_never_hears_of_it
    tests/e2e/test_precedence.py::test_without_yizhan_pip_and_uv_install_the_decoy
D02  no spelling gets out
    tests/faults/test_leaks.py::test_no_spelling_of_a_private_name_gets_out_on_any_route
    tests/faults/test_leaks.py::test_the_check_would_notice
D03  cached before, gone with the claim
    tests/faults/test_leaks.py::test_what_was_cached_before_the_claim_is_gone_with_it
    tests/test_repository.py::test_what_was_fetched_before_a_claim_is_out_of_reach_after_it
D04  no question goes on after the claim
    tests/test_download.py::test_what_comes_in_of_a_name_that_becomes_private_is_stopped_and_no_other_mirror_is_asked
    tests/test_glimpses.py::test_what_is_asked_of_a_name_that_becomes_private_is_asked_no_longer
    tests/test_publishing.py::test_a_first_upload_takes_the_name_away_from_the_index
    tests/test_indexes.py::test_a_name_that_became_private_is_withdrawn_everywhere_and_every_denial_forgotten
    tests/test_pages.py::test_a_question_about_a_name_that_becomes_private_is_stopped_and_no_other_mirror_hears_it
    tests/test_pages.py::test_who_waits_for_the_disk_asks_no_mirror_about_a_name_that_became_private
    tests/test_mirrors.py::test_a_question_that_nobody_waits_for_is_stopped_everywhere
    tests/test_heal.py::test_questions_under_way_about_a_withdrawn_name_are_stopped
    tests/test_heal.py::test_a_name_that_became_private_is_asked_about_no_more
    tests/test_metadata.py::test_a_withdrawn_name_is_read_no_more
    tests/test_lookahead.py::test_private_names_never_leave_the_building
    tests/test_lookahead.py::test_a_wheel_that_its_page_lists_no_more_is_not_fetched_with_the_others
D05  asked before, claimed meanwhile
    tests/test_lookahead.py::test_a_wheel_that_its_page_lists_no_more_is_not_fetched_with_the_others
    tests/test_repository.py::test_a_name_claimed_while_the_index_is_asked_shows_only_ours
    tests/faults/test_leaks.py::test_a_claim_and_a_look_at_the_same_time_never_show_the_outside_afterwards
D06  a pattern covers its prefix alone
    tests/test_policy.py::test_a_pattern_covers_the_name_and_all_below_it
    tests/faults/test_leaks.py::test_a_reservation_covers_its_prefix_and_nothing_else
D07  no leak in lists, searches, documents
    tests/faults/test_leaks.py::test_the_list_of_all_projects_shows_no_public_side_of_a_private_name
    tests/test_search.py::test_a_public_project_is_never_shown_for_a_private_name
    tests/test_documents.py::test_a_private_name_without_files_is_not_found_and_no_index_is_asked
    tests/test_documents.py::test_a_name_that_becomes_private_meanwhile_shows_only_ours
    tests/test_integrity.py::test_what_is_not_ours_is_404_as_json_and_no_index_is_asked
D08  private after its last file
    tests/test_repository.py::test_a_name_stays_private_after_its_last_file_is_gone
    tests/test_stores.py::test_everything_is_there_after_reopening
    tests/test_stores.py::TestDiskStore::test_a_name_is_claimed_with_its_first_file_and_for_ever
    tests/test_publishing.py::test_what_is_deleted_does_not_come_back_and_its_name_stays_private
    tests/e2e/test_life_of_a_project.py::test_a_private_name_without_files_installs_nothing_until_it_is_released
D09  private after a wiped cache and a restore
    tests/test_backup.py::test_what_was_uploaded_and_claimed_since_stays
    tests/test_backup.py::test_a_reservation_comes_back_to_a_name_that_was_uploaded_since
    tests/test_backup.py::test_a_restore_that_is_broken_off_makes_no_private_name_public
    tests/test_life_of_names.py::test_names_live_as_the_model_says_and_the_index_hears_of_no_private_one
D10  no database, or an ill one: nothing public
    tests/test_stores.py::test_a_lost_database_is_not_taken_for_a_new_one
    tests/test_stores.py::test_a_damaged_database_is_refused_with_a_hint
    tests/test_stores.py::test_no_damaged_page_makes_a_private_name_public
D11  no files: refused, not all public
    tests/test_stores.py::test_a_lost_folder_of_files_is_not_taken_for_a_new_one
    tests/faults/test_durability.py::test_a_store_that_lost_its_half_or_its_walls_is_not_served
D12  first upload of a public name
    tests/test_publishing.py::test_the_first_upload_of_a_public_name_is_refused_with_the_way_out
    tests/e2e/test_uploaders.py::test_a_name_of_the_index_is_refused_with_the_way_out
    tests/e2e/test_life_of_a_project.py::test_a_public_name_becomes_private_by_an_operators_word_alone
D13  the same while upstream is down
    tests/test_publishing.py::test_the_first_upload_is_refused_where_the_index_cannot_be_asked
    tests/e2e/test_uploaders.py::test_a_name_of_which_the_index_cannot_tell_is_refused_too
D14  of those who race for a name one is first
    tests/test_publishing.py::test_of_names_like_each_other_that_come_at_once_one_is_taken
    tests/test_stores.py::test_two_processes_race_for_filenames_and_each_has_one_winner
    tests/e2e/test_racers.py::test_of_fifty_with_other_bytes_for_one_filename_one_wins
D15  no right, no name
    tests/test_web_uploads.py::test_whoever_has_no_right_to_the_project_is_refused_and_nothing_is_stored
    tests/test_web_uploads.py::test_the_forms_own_name_never_opens_a_project
    tests/test_closed_reading.py::test_who_may_not_upload_is_refused_and_the_name_is_not_made
D16  names that people take for each other
    tests/test_policy.py::test_names_that_people_take_for_each_other
    tests/test_policy.py::test_names_that_only_resemble_each_other_are_free
    tests/test_publishing.py::test_a_new_name_that_can_be_taken_for_a_private_one_is_refused_and_no_index_hears_of_it
    tests/e2e/test_life_of_a_project.py::test_a_name_that_can_be_taken_for_another_needs_an_operators_word
D17  our files on their pages
    tests/test_simple_read.py::test_an_entry_that_is_no_file_of_the_project_is_left_out_and_the_rest_served
    tests/test_policy.py::test_a_file_that_could_be_a_private_projects_is_not_admitted
D18  what they require of ours
    tests/test_lookahead.py::test_private_names_never_leave_the_building
D19  patterns that are none
    tests/test_config.py::test_other_patterns_are_refused
    tests/test_config.py::test_every_problem_is_told_at_once_with_its_place
D21  a 404 ends with the upload
    tests/test_rules.py::test_a_404_is_forgotten_with_the_first_upload
    tests/faults/test_leaks.py::test_a_404_from_before_the_upload_does_not_outlive_it
D22  private pages are asked about each time
    tests/test_index.py::test_each_representation_has_its_own_strong_tag_and_304_repeats_it
    tests/e2e/test_life_of_a_project.py::test_a_deleted_file_is_gone_at_once_and_its_filename_with_it
D24  a model of names, and the server beside it
    tests/test_life_of_names.py::test_names_live_as_the_model_says_and_the_index_hears_of_no_private_one
    tests/test_life_of_names.py::test_names_live_long_as_the_model_says
D25  a file is where its page has it
    tests/test_repository.py::test_a_file_is_found_where_its_page_links_it_and_nowhere_else
    tests/test_repository.py::test_a_file_is_served_only_under_the_path_that_its_page_links
    tests/test_closed_reading.py::test_who_has_no_right_to_a_project_sees_nothing_of_it_at_any_address
D26  one server for one folder
    tests/test_stores.py::test_a_second_yizhan_is_refused
    tests/e2e/test_lifecycle.py::test_a_data_folder_has_one_yizhan
E01  every publishing tool
    tests/e2e/test_upload_matrix.py::test_a_new_wheel_and_a_new_sdist
    tests/e2e/test_upload_matrix.py::test_a_token_for_the_project
    tests/e2e/test_uploaders.py::test_files_are_taken_once_and_never_change
    tests/test_web_uploads.py::test_every_uploader_gets_its_wheel_in
E02  fields that would break out
    tests/test_upload.py::test_nothing_that_a_form_says_is_echoed_as_it_is
    tests/test_web_uploads.py::test_what_is_wrong_is_said_in_reason_and_body_and_nothing_is_left
    tests/test_web_uploads.py::test_a_reason_is_one_short_line_of_ascii
E03  form, filename and archive disagree
    tests/test_upload.py::test_a_form_that_contradicts_the_file_is_refused
    tests/test_archive.py::test_a_dist_info_of_something_else_is_refused
    tests/test_web_uploads.py::test_the_archives_name_counts_whatever_was_let_pass_before
E04  filenames that lead out
    tests/test_upload.py::test_filenames_that_do_not_fit_are_refused
    tests/test_names.py::test_a_filename_that_no_disk_or_page_should_hold_is_none
    tests/test_stores.py::test_a_row_that_names_a_place_outside_opens_nothing
E05  wrong digests
    tests/test_upload.py::test_a_form_that_contradicts_the_file_is_refused
    tests/e2e/test_upload_matrix.py::test_what_was_damaged_on_its_way_is_refused_as_that
E06  zips that unpack to too much
    tests/test_hostile.py::test_the_line_between_a_bomb_and_a_wheel_that_packs_well
    tests/test_archive.py::test_members_that_overlap_are_refused
    tests/test_archive.py::TestBombs::test_a_zip_that_unpacks_to_too_much
    tests/test_archive.py::TestBombs::test_a_zip_at_the_limit_is_no_bomb
E07  tars that unpack to too much
    tests/test_archive.py::TestBombs::test_gigabytes_of_zeros_in_a_tar
    tests/test_archive.py::TestBombs::test_a_tar_that_unpacks_to_too_much
    tests/test_archive.py::TestBombs::test_millions_of_members
    tests/test_archive.py::test_sparse_files_are_refused
    tests/test_archive.py::TestBombs::test_extended_headers_without_end
E08  links and devices
    tests/test_archive.py::test_a_link_that_leads_out_is_refused
    tests/test_archive.py::test_nothing_is_reached_through_a_link
    tests/test_archive.py::test_devices_and_odd_members_are_refused
    tests/test_hostile.py::test_nothing_that_is_in_an_archive_touches_the_file_system
E09  metadata without end or name
    tests/test_upload.py::test_metadata_with_headers_without_end_is_refused
    tests/test_upload.py::test_metadata_that_clients_could_not_use_is_refused
    tests/test_archive.py::TestBombs::test_metadata_that_is_too_long
E10  metadata that is there twice
    tests/test_archive.py::test_two_members_of_one_name_are_refused
    tests/test_archive.py::test_a_second_pkg_info_is_refused_whatever_it_is
    tests/test_archive.py::test_a_wheel_with_two_dist_infos_is_refused
E11  headers that contradict the directory
    tests/test_archive.py::test_a_member_that_contradicts_the_directory_is_refused
    tests/test_hostile.py::test_what_is_made_to_harm_is_refused_in_words
E12  odd zips
    tests/test_archive.py::test_bytes_outside_the_members_are_refused
    tests/test_archive.py::test_an_encrypted_member_is_refused
    tests/test_archive.py::test_other_compressions_are_refused
    tests/test_archive.py::test_a_directory_that_lies_about_its_length_is_refused
    tests/test_hostile.py::test_what_is_made_to_harm_is_refused_in_words
E13  two kinds of file in one
    tests/test_archive.py::test_a_zip_that_is_a_tar_too_is_refused
    tests/test_hostile.py::test_what_is_made_to_harm_is_refused_in_words
E14  a RECORD that lists other files
    tests/test_wheels.py::test_a_record_that_lists_other_files_is_remarked_upon_and_no_reason_to_refuse
    tests/test_web_uploads.py::test_a_record_that_is_wrong_is_told_to_the_uploader_and_to_the_log
    tests/test_strict.py::test_what_is_remarked_of_the_archive_is_a_reason_now
E15  the same file again
    tests/test_stores.py::TestDiskStore::test_the_same_bytes_again_change_nothing
    tests/test_stores.py::TestDiskStore::test_twenty_who_send_the_same_bytes_all_succeed
    tests/e2e/test_upload_matrix.py::test_the_same_again_is_fine
E16  the same name, other bytes
    tests/test_web_uploads.py::test_the_same_upload_again_is_fine_and_other_bytes_are_not
    tests/e2e/test_upload_matrix.py::test_other_bytes_are_refused
E17  again after a removal
    tests/test_stores.py::TestDiskStore::test_a_removed_file_is_gone_and_its_name_is_used_up
    tests/e2e/test_life_of_a_project.py::test_a_deleted_file_is_gone_at_once_and_its_filename_with_it
    tests/test_publishing.py::test_a_deleted_filename_may_be_used_again_only_where_an_operator_says_so
E18  many who race for one name
    tests/test_stores.py::TestDiskStore::test_of_twenty_who_race_for_a_filename_one_wins
    tests/test_stores.py::test_two_processes_race_for_filenames_and_each_has_one_winner
    tests/e2e/test_racers.py::test_of_fifty_with_other_bytes_for_one_filename_one_wins
E19  bodies beyond the limit
    tests/test_web_uploads.py::test_a_length_beyond_the_limit_is_refused_before_anything_is_read
    tests/test_web_uploads.py::test_a_length_that_is_not_told_is_counted
    tests/test_web_uploads.py::test_of_a_body_without_end_only_so_much_is_drained
E20  forms that are none
    tests/test_web_uploads.py::test_a_broken_form_is_refused
    tests/test_web_uploads.py::test_what_is_no_form_is_refused
    tests/test_web_uploads.py::test_no_bytes_bring_anything_but_an_answer
E21  a packed request
    tests/test_web_uploads.py::test_a_compressed_request_is_refused
E22  an upload that hardly comes
    tests/test_web_uploads.py::TestPace::test_an_upload_that_hardly_comes_is_cut
    tests/test_web_uploads.py::TestPace::test_one_that_comes_just_fast_enough_is_not
    tests/test_web_uploads.py::TestPace::test_a_preamble_without_end_is_cut
E23  a client that goes away
    tests/test_web_uploads.py::test_a_client_that_goes_away_leaves_nothing
    tests/test_web_uploads.py::test_an_upload_that_is_cancelled_leaves_nothing
E24  attestations that are none
    tests/test_web_uploads.py::test_attestations_that_are_none_of_this_file_are_refused_in_words
    tests/test_web_uploads.py::TestMegabytes::test_of_attestations_are_refused_too
    tests/test_provenance.py::test_what_is_no_list_is_refused_in_words
E25  no room
    tests/test_web_uploads.py::test_a_full_disk_is_507
    tests/test_stores.py::test_a_full_disk_is_said_to_be_full
E26  refused before the body
    tests/test_web_uploads.py::test_who_waits_to_be_asked_for_the_body_is_asked_or_refused
E27  kinds of files of old
    tests/test_imports.py::test_names_of_before_pep_625_are_taken
    tests/test_upload.py::test_filenames_that_do_not_fit_are_refused
    tests/test_archive.py::test_a_zipped_sdist_of_something_else_is_refused
    tests/e2e/test_backends.py::test_what_a_backend_of_old_builds_is_let_in_by_default_alone
F01  killed at every step
    tests/faults/test_kill.py::test_no_step_of_an_upload_can_be_killed_with_a_loss
    tests/faults/test_deeds.py::test_a_deed_that_is_killed_is_done_whole_or_not_at_all
    tests/faults/test_deeds.py::test_a_deed_can_be_killed_at_any_call_whatever_it_does
F02  killed at any time
    tests/faults/test_kill.py::test_no_step_of_an_upload_can_be_killed_with_a_loss
    tests/faults/test_kill.py::test_fifty_killed_uploads_lose_nothing
    tests/faults/test_kills_at_random.py::test_nothing_is_lost_by_kills_at_random
    tests/faults/test_kills_at_random.py::test_nothing_is_lost_by_two_hundred_kills_at_random
F03  killed while it downloads
    tests/faults/test_kill.py::test_no_step_of_a_download_can_be_killed_with_a_wrong_byte
    tests/faults/test_kill.py::test_fifty_killed_downloads_serve_no_wrong_byte
F04  killed in a yank, a delete, a reservation
    tests/faults/test_deeds.py::test_a_deed_that_is_killed_is_done_whole_or_not_at_all
    tests/faults/test_deeds.py::test_a_deed_can_be_killed_at_any_call_whatever_it_does
    tests/faults/test_kills_at_random.py::test_nothing_is_lost_by_kills_at_random
    tests/faults/test_kills_at_random.py::test_nothing_is_lost_by_two_hundred_kills_at_random
F05  file, name, folder, commit, answer
    tests/faults/test_durability.py::test_an_upload_is_on_the_disk_in_the_right_order_before_it_is_acknowledged
    tests/faults/test_deeds.py::test_a_deed_is_committed_before_it_is_acknowledged
    tests/faults/test_deeds.py::test_contents_are_deleted_when_nothing_lists_them_any_more
    tests/test_stores.py::test_bytes_reach_the_disk_before_names_names_before_rows_and_rows_before_others
F06  a power cut at any moment
    tests/faults/test_powercut.py::test_what_was_promised_outlives_a_power_cut_at_any_moment
    tests/faults/test_powercut.py::test_a_long_life_outlives_a_power_cut_at_any_moment
    tests/faults/test_powercut.py::test_a_careless_program_loses_what_it_did_not_sync
F07  fsync fails
    tests/test_stores.py::test_when_the_disk_fails_nothing_is_visible_and_the_next_upload_is_fine
    tests/faults/test_durability.py::test_an_upload_is_refused_at_each_call_that_fails_and_works_the_next_time
    tests/faults/test_deeds.py::test_a_deed_whose_call_fails_is_refused_whole_and_works_the_next_time
F08  rename fails
    tests/test_stores.py::test_when_the_disk_fails_nothing_is_visible_and_the_next_upload_is_fine
    tests/faults/test_durability.py::test_an_upload_is_refused_at_each_call_that_fails_and_works_the_next_time
    tests/faults/test_deeds.py::test_a_deed_whose_call_fails_is_refused_whole_and_works_the_next_time
F09  the commit fails
    tests/test_stores.py::test_rows_that_find_no_room_are_not_there
    tests/test_stores.py::test_a_content_without_a_row_is_invisible_and_can_be_uploaded
    tests/faults/test_deeds.py::test_a_deed_whose_call_fails_is_refused_whole_and_works_the_next_time
F10  a damaged private file
    tests/test_stores.py::test_a_damaged_file_is_never_served_and_others_are
    tests/faults/test_durability.py::test_a_harmed_private_file_is_never_served_and_others_are
    tests/test_backup.py::test_verify_finds_each_damaged_file_and_no_other
F11  a flipped bit in a private file
    tests/test_backup.py::test_verify_finds_every_one_of_two_hundred_flipped_bits
    tests/test_stores.py::test_a_damaged_file_is_never_served_and_others_are
F12  no database any more
    tests/test_stores.py::test_a_lost_database_is_not_taken_for_a_new_one
    tests/test_backup.py::test_a_folder_that_lost_its_half_is_made_whole
F13  a damaged database
    tests/test_stores.py::test_a_damaged_database_is_refused_with_a_hint
    tests/test_stores.py::test_no_damaged_page_makes_a_private_name_public
    tests/test_backup.py::test_a_damaged_database_is_not_thrown_away_for_the_backup
F14  killed while the schema is brought up to date
    tests/test_stores.py::test_a_kill_at_any_statement_of_the_upgrade_leaves_the_old_schema_or_the_new_one
    tests/test_stores.py::test_a_step_of_the_schema_that_fails_leaves_the_old_one
F18  a backup while others upload
    tests/test_backup.py::test_backups_beside_a_server_that_takes_uploads_hold_all_that_was_acknowledged
    tests/test_backup.py::test_a_backup_that_is_not_what_it_says_is_refused
    tests/test_backup.py::test_what_was_backed_up_is_restored_to_the_last_row_and_byte
G07  the cache's folder goes away
    tests/test_disk_cache.py::test_the_folder_removed_while_running_harms_no_request
    tests/e2e/test_lifecycle.py::test_a_cache_deleted_while_it_runs_breaks_no_request
I01  single ranges
    tests/test_sending.py::test_one_range_is_206
    tests/test_conditions.py::test_one_range_is_served
I02  ranges beyond the file
    tests/test_sending.py::test_an_unsatisfiable_range_is_416_and_the_connection_goes_on
    tests/test_conditions.py::test_a_range_outside_the_file_is_unsatisfiable
I03  what is no range
    tests/test_sending.py::test_other_ranges_are_ignored
    tests/test_conditions.py::test_what_is_no_single_range_of_bytes_is_ignored
I04  a thousand ranges
    tests/test_conditions.py::test_what_is_no_single_range_of_bytes_is_ignored
    tests/test_conditions.py::test_hostile_headers_take_linear_time
I05  If-Range of every kind
    tests/test_sending.py::test_a_download_is_resumed_only_where_the_file_is_the_same
I06  If-None-Match of every kind
    tests/test_sending.py::test_what_the_client_has_is_304
    tests/test_conditions.py::test_if_none_match_compares_weakly
I09  a range of a HEAD
    tests/test_sending.py::test_head_says_what_get_says_and_sends_no_body
J01  credentials of every kind
    tests/test_auth.py::test_an_upload_needs_a_user_and_tells_who_it_was
    tests/test_auth.py::test_credentials_that_cannot_be_read_are_wrong_and_no_more
    tests/test_auth.py::test_the_scheme_is_read_in_any_case
J02  the eleventh wrong password
    tests/test_auth.py::test_the_eleventh_wrong_password_within_five_minutes_is_not_judged
    tests/test_auth.py::test_whoever_was_right_at_an_address_is_let_in_while_others_guess_there
    tests/test_limits.py::test_one_user_at_one_address_waits_and_nobody_else
    tests/test_limits.py::test_an_address_that_is_wrong_for_many_users_waits_for_all_of_them
J03  time does not tell who exists
    tests/test_htpasswd.py::test_an_unknown_user_takes_the_work_of_a_known_one
    tests/test_htpasswd.py::test_time_does_not_tell_an_unknown_user_from_a_wrong_password
    tests/test_tokens.py::test_an_unknown_id_takes_the_work_of_a_known_one
J04  empty and odd passwords
    tests/test_auth.py::test_credentials_that_cannot_be_read_are_wrong_and_no_more
    tests/test_htpasswd.py::test_apache_cuts_a_password_at_72_bytes_and_so_do_we
    tests/test_htpasswd.py::test_a_password_that_cannot_be_hashed_is_a_wrong_one
J05  lines of every kind
    tests/test_htpasswd.py::test_every_kind_of_hash_that_is_supported_lets_its_user_in
    tests/test_htpasswd.py::test_a_bad_line_is_named_by_its_number_and_never_by_its_content
    tests/test_htpasswd.py::test_windows_line_ends_and_a_byte_order_mark_are_no_part_of_a_line
J06  a file changed, cut, gone
    tests/test_htpasswd.py::test_a_changed_file_counts_at_the_next_look
    tests/test_htpasswd.py::test_a_removed_file_means_nobody_until_it_is_back
    tests/test_htpasswd.py::test_a_half_written_file_leaves_the_users_as_they_were
    tests/test_htpasswd.py::test_a_file_that_everybody_may_write_to_is_warned_of
J07  a hundred who sign in at once
    tests/test_htpasswd.py::test_too_many_sign_ins_at_once_are_asked_to_come_again
    tests/test_htpasswd.py::test_who_is_remembered_comes_in_however_many_wait
    tests/test_htpasswd.py::test_a_hundred_sign_ins_at_once_leave_the_loop_free
J08  passwords over clear http
    tests/test_auth.py::test_passwords_over_clear_http_come_from_where_the_operator_lets_them
    tests/e2e/test_uploaders.py::test_passwords_are_not_taken_from_the_internet_over_clear_http
J09  what strangers say of themselves
    tests/test_peers.py::test_the_client_is_the_last_whom_no_proxy_of_ours_vouches_for
    tests/test_auth.py::test_what_a_peer_says_of_itself_moves_nothing_where_no_proxy_is_trusted
J10  no secret in a log or an answer
    tests/test_closed_reading.py::test_no_secret_comes_back_or_is_logged_on_any_way_through_the_new_routes
    tests/test_auth.py::test_no_part_of_a_credential_comes_back_or_is_logged
    tests/test_administration.py::test_no_secret_stands_in_the_log
    tests/test_logs.py::test_credentials_in_a_target_are_not_written
J11  passwords in the configuration
    tests/test_config.py::test_a_password_in_a_url_is_refused_and_not_repeated
    tests/test_config.py::test_a_login_shows_itself_to_nobody
J14  pages of other sites
    tests/test_api.py::test_a_page_of_another_site_changes_nothing_with_the_credentials_of_a_browser
    tests/test_api.py::test_a_second_origin_does_not_hide_behind_the_first
    tests/test_api.py::test_what_a_form_can_send_is_not_read
J16  a closed index is closed
    tests/test_index.py::test_a_closed_index_asks_for_a_password_everywhere
    tests/e2e/test_uploaders.py::test_where_reading_is_for_users_the_index_url_carries_them
    tests/test_closed_reading.py::test_who_has_not_signed_in_is_told_the_same_at_every_address
    tests/test_closed_reading.py::test_lists_and_searches_show_what_the_caller_may_read
    tests/test_closed_reading.py::test_a_document_of_what_became_private_meanwhile_is_not_for_strangers
    tests/test_closed_reading.py::test_what_everybody_sees_tells_nothing
J17  no shared cache of what is closed
    tests/test_rules.py::test_no_shared_cache_keeps_what_only_users_may_read
    tests/test_closed_reading.py::test_who_may_read_a_project_reads_it_at_every_address
    tests/test_closed_reading.py::test_what_is_public_is_for_whoever_signs_in
    tests/test_documents.py::test_where_reading_needs_a_user_no_shared_cache_keeps_a_document
J18  deeds of administrators by uploaders
    tests/test_closed_reading.py::test_an_action_is_for_who_has_the_right_by_post_alone
    tests/test_closed_reading.py::test_names_are_listed_to_who_may_upload_to_them
    tests/test_api.py::test_actions_of_administrators_are_refused_to_uploaders
    tests/test_administration.py::test_an_action_is_refused_to_whoever_has_no_right_to_it_and_changes_nothing
    tests/e2e/test_life_of_a_project.py::test_who_has_the_right_yanks_and_deletes_over_http_and_nobody_else
J19  lines of strangers in the log
    tests/test_logs.py::test_what_a_stranger_sends_stays_on_one_line
    tests/test_logs.py::test_chinese_stays_readable_and_controls_are_told_apart
J21  a fault of ours is one sentence
    tests/test_index.py::test_a_failure_of_our_own_is_one_sentence_and_no_traceback
    tests/test_office.py::test_a_fault_of_ours_is_a_sentence_and_its_traceback_is_in_the_servers_log
J22  a user who is taken out
    tests/test_auth.py::test_who_leaves_the_file_loses_all_rights_within_a_minute
    tests/test_cli.py::test_users_come_and_go_and_their_tokens_go_with_them
K01  stopped while idle
    tests/e2e/test_lifecycle.py::test_it_stops_at_once_where_nothing_is_under_way
K02  stopped in the midst
    tests/e2e/test_lifecycle.py::test_answers_under_way_finish_when_it_is_stopped
    tests/e2e/test_lifecycle.py::test_a_client_that_never_finishes_does_not_keep_it_running
K06  a configuration full of mistakes
    tests/test_config.py::test_every_problem_is_told_at_once_with_its_place
    tests/test_config.py::test_wrong_values_are_told_plainly
    tests/test_cli.py::test_a_wrong_configuration_prints_every_problem_and_ends_with_2
K13  a port that is taken
    tests/e2e/test_lifecycle.py::test_a_port_has_one_program
    tests/test_cli.py::test_what_keeps_the_server_from_running_is_one_sentence
K14  a second server
    tests/e2e/test_lifecycle.py::test_a_data_folder_has_one_yizhan
    tests/faults/test_durability.py::test_a_second_server_on_the_same_folder_is_refused_and_harms_nothing
"""
"""Of security.md: the catalogue of faults and abuse."""

_SENTENCES = """
house-1    layout, imports and bounds
    tests/test_layers.py::test_every_module_is_on_the_list
    tests/test_layers.py::test_modules_import_only_what_they_may
    tests/test_layers.py::test_a_store_and_a_cache_do_not_know_each_other
    tests/test_layers.py::test_the_core_does_no_io
    tests/test_layers.py::test_nobody_imports_in_a_circle
    tests/test_layers.py::test_only_the_policy_makes_a_public_name
    tests/test_layers.py::test_modules_and_functions_are_short
house-2    distribution, licence, README, unit, checks
    tests/test_rules.py::test_the_distribution_says_what_it_is
    tests/test_rules.py::test_everything_that_a_release_needs_is_there
    tests/test_docs.py::test_the_example_holds_every_setting_and_no_other
    tests/test_docs.py::test_the_example_is_the_defaults
    tests/test_systemd.py::test_the_unit_waits_for_ready_and_does_not_start_nonsense_again
house-3    one command, and lines to copy
    tests/e2e/test_lifecycle.py::test_a_first_start_prints_a_password_once
    tests/e2e/test_lifecycle.py::test_the_lines_of_the_banner_work_as_they_are_printed
    tests/test_cli.py::test_the_banner_has_lines_to_copy_that_work_on_this_machine
house-4    flag, environment, file, default
    tests/test_cli.py::test_serve_hands_the_flags_to_the_server
    tests/test_config.py::test_a_flag_wins_over_the_environment_and_that_over_the_file
    tests/test_config.py::test_every_problem_is_told_at_once_with_its_place
    tests/e2e/test_lifecycle.py::test_all_mistakes_of_a_configuration_are_told_at_once
house-5    the words of the configuration
    tests/test_rules.py::test_the_words_of_the_configuration_stay_what_they_are
    tests/test_docs.py::test_the_example_holds_every_setting_and_no_other
index-1    pages: asked, read, revalidated, kept
    tests/test_upstream_index.py::test_a_page_is_asked_for_in_json_and_packed_without_cookies_or_credentials
    tests/test_upstream_index.py::test_an_unchanged_page_is_not_sent_again
    tests/test_pages.py::test_a_fresh_page_is_answered_from_memory
    tests/test_pages.py::test_a_slow_refresh_is_waited_for_only_shortly_where_an_old_page_exists
    tests/test_pages.py::test_a_refresh_that_fails_leaves_the_old_page_and_is_not_tried_again_for_a_while
index-2    404 only where all said so
    tests/test_mirrors.py::test_a_project_is_absent_only_where_every_mirror_says_so
    tests/test_pages.py::test_an_old_404_is_no_answer_while_mirrors_are_down
    tests/test_index.py::test_an_outage_is_503_with_whole_seconds
index-3    equivalent mirrors, in order, by name
    tests/test_mirrors.py::test_mirrors_are_asked_in_the_operators_order_and_one_answer_is_enough
    tests/test_mirrors.py::test_whatever_one_mirror_says_instead_of_a_page_the_next_is_asked
    tests/test_config.py::test_a_mirror_is_a_known_name_or_a_url_with_a_slash_at_its_end
    tests/test_docs.py::test_the_example_names_every_preset
index-4    what may be dialled
    tests/test_guard.py::test_a_link_elsewhere_never_dials_inwards
    tests/test_guard.py::test_a_mirror_that_an_operator_configured_may_be_on_the_lan
    tests/test_guard.py::test_listed_networks_may_be_dialled_and_their_neighbours_not
    tests/test_guard.py::test_hosts_narrow_links_but_not_the_mirrors
    tests/test_config.py::test_link_local_addresses_cannot_be_allowed
index-5    the root: both sides, lazy, streamed
    tests/test_index.py::test_the_root_list_holds_our_names_and_the_indexs
    tests/test_index.py::test_without_an_index_the_root_list_is_ours
    tests/test_simple_write.py::test_a_root_listing_never_stands_in_memory
    tests/test_root.py::test_nothing_is_asked_before_somebody_asks
    tests/faults/test_leaks.py::test_the_list_of_all_projects_shows_no_public_side_of_a_private_name
index-6    parsed once, written once
    tests/test_pages.py::test_an_older_page_is_asked_for_again_and_a_304_keeps_the_same_object
    tests/test_repository.py::test_an_unchanged_page_is_the_same_object
    tests/test_index.py::test_a_warm_request_writes_nothing
    tests/test_index.py::test_a_crowd_has_a_page_written_once
files-1    one shape, found without a page
    tests/test_model.py::test_an_official_path_is_kept_so_that_lock_files_differ_in_the_host_alone
    tests/test_model.py::test_an_unhashed_file_has_one_place_on_all_mirrors_of_an_index
    tests/test_repository.py::test_a_file_is_found_though_its_page_was_never_asked_for
    tests/test_repository.py::test_a_file_is_served_only_under_the_path_that_its_page_links
    tests/e2e/test_lock.py::test_a_lock_installs_from_a_server_that_has_forgotten_every_page
files-2    one transfer, followed, resumed, verified
    tests/test_download.py::test_many_clients_cost_one_transfer_and_late_comers_read_from_the_start
    tests/test_download.py::test_a_download_goes_on_when_all_clients_leave
    tests/test_download.py::test_a_broken_line_is_taken_up_at_the_same_byte
    tests/test_download.py::test_a_broken_download_is_resumed_after_a_restart
    tests/test_files.py::test_a_late_comer_reads_from_the_start_at_once_and_costs_nothing
    tests/test_files.py::test_a_wrong_file_is_cut_off_and_the_next_request_is_healed
files-3    HEAD and Range at any time
    tests/test_files.py::test_a_head_is_answered_meanwhile
    tests/test_files.py::test_a_glance_at_a_part_is_answered_unverified_and_kept_by_nobody
    tests/test_files.py::test_any_other_range_follows_the_download_to_its_verified_end
    tests/test_index.py::test_a_head_never_starts_a_download
    tests/faults/test_crowd.py::test_head_and_ranges_are_answered_before_during_and_after_a_download
files-4    handles, sendfile, and FileResponse's traps
    tests/test_sending.py::test_a_file_is_sent_without_passing_through_python
    tests/test_sending.py::test_a_whole_file_comes_with_its_validators
    tests/test_sending.py::test_a_download_is_resumed_only_where_the_file_is_the_same
    tests/test_sending.py::test_an_archive_beside_its_compressed_self_is_not_mixed_up
    tests/test_sending.py::test_a_client_that_stops_reading_is_let_go
    tests/test_sending.py::test_a_file_that_is_not_in_memory_is_brought_there_by_a_thread
    tests/test_sending.py::test_files_and_ranges_come_whole_over_tls
files-5    diskcache: no pickle, no copy, exact
    tests/test_disk_cache.py::test_a_planted_pickle_is_a_miss_and_does_not_run
    tests/test_disk_cache.py::test_nothing_but_bytes_is_kept_in_a_plain_cache
    tests/test_disk_cache.py::test_an_adopted_file_is_not_copied
    tests/test_disk_cache.py::test_adopting_evicts_nothing_and_a_sweep_evicts_not_one_too_many
    tests/test_disk_cache.py::test_a_newcomer_that_does_not_fit_wakes_the_janitor
    tests/test_sending.py::test_an_eviction_meanwhile_breaks_no_answer
files-6    without its cache it loses time
    tests/e2e/test_lifecycle.py::test_a_cache_deleted_between_runs_costs_a_fetch
    tests/faults/test_durability.py::test_a_harmed_cache_costs_nothing_but_time
private-1  twine and uv publish
    tests/e2e/test_uploaders.py::test_files_are_taken_once_and_never_change
    tests/test_web_uploads.py::test_every_uploader_gets_its_wheel_in
private-2  on the disk before the 200
    tests/test_stores.py::test_bytes_reach_the_disk_before_names_names_before_rows_and_rows_before_others
    tests/faults/test_durability.py::test_an_upload_is_on_the_disk_in_the_right_order_before_it_is_acknowledged
private-3  users of an htpasswd file
    tests/test_htpasswd.py::test_every_kind_of_hash_that_is_supported_lets_its_user_in
    tests/test_htpasswd.py::test_a_changed_file_counts_at_the_next_look
    tests/test_htpasswd.py::test_a_right_password_is_hashed_once_and_remembered_for_its_time
    tests/test_htpasswd.py::test_an_unknown_user_takes_the_work_of_a_known_one
    tests/test_htpasswd.py::test_the_name_of_tokens_is_nobodys
    tests/test_htpasswd.py::test_the_log_names_file_and_line_once_for_each_version
private-4  open uploads and closed reading
    tests/test_auth.py::test_where_anyone_may_upload_credentials_are_not_judged
    tests/test_auth.py::test_where_reading_is_for_users_nobody_else_reads
    tests/e2e/test_walkthrough.py::test_the_tutorial_works_where_anyone_may_upload
private-5  what is said of private files
    tests/test_web_uploads.py::test_every_uploader_gets_its_wheel_in
    tests/test_stores.py::TestDiskStore::test_what_was_added_is_listed_as_told_with_the_time_of_receipt
    tests/test_stores.py::TestDiskStore::test_the_metadata_stands_beside_byte_for_byte
private-6  once uploaded, private for ever
    tests/test_repository.py::test_the_index_is_never_asked_about_an_uploaded_name
    tests/test_repository.py::test_a_name_stays_private_after_its_last_file_is_gone
    tests/test_repository.py::test_where_one_reading_of_a_filename_is_private_the_index_hears_of_none
    tests/faults/test_leaks.py::test_no_spelling_of_a_private_name_gets_out_on_any_route
private-7  reserved before its first file
    tests/test_repository.py::test_a_reserved_name_without_files_is_an_empty_page_and_not_absent
    tests/test_policy.py::test_who_answers_for_a_name
private-8  overlay: ours win per filename
    tests/test_repository.py::test_an_overlaid_name_is_answered_from_both_sides_and_ours_wins
    tests/test_config.py::test_a_name_cannot_be_reserved_and_overlaid
private-9  the first upload of theirs
    tests/test_publishing.py::test_the_first_upload_of_a_public_name_is_refused_with_the_way_out
    tests/test_publishing.py::test_the_first_upload_is_refused_where_the_index_cannot_be_asked
    tests/test_publishing.py::test_an_operators_word_lets_a_public_name_be_uploaded
front-1    a page for people, in two languages
    tests/test_rules.py::test_the_front_page_is_made_for_who_asks_and_where
    tests/test_front_page.py::test_the_lines_hold_the_address_of_the_server
    tests/test_front_page.py::test_both_languages_have_the_same_commands
    tests/test_front_page.py::test_chinese_is_for_those_who_prefer_it
    tests/browser/test_front_page.py::test_the_lines_show_the_address_in_the_bar
    tests/browser/test_front_page.py::test_a_chinese_browser_gets_chinese_and_may_switch
done-1     real packages, and without the index
    tests/e2e/test_real_index.py::test_what_was_installed_once_is_installed_again_without_the_index
done-2     the tutorial of our forerunner
    tests/e2e/test_walkthrough.py::test_the_tutorial_works_with_a_user_of_htpasswd
    tests/e2e/test_walkthrough.py::test_the_tutorial_works_where_anyone_may_upload
    tests/e2e/test_walkthrough.py::test_the_tutorial_works_with_the_real_index
done-3     ours installed, the name unheard of
    tests/e2e/test_precedence.py::test_pip_and_uv_install_ours_and_the_upstream_never_hears_of_it
    tests/faults/test_leaks.py::test_no_spelling_of_a_private_name_gets_out_on_any_route
done-4     32 clients, one transfer
    tests/faults/test_crowd.py::test_a_crowd_at_one_cold_file_costs_one_transfer_and_nobody_waits_for_its_end
done-5     300 runs against liars
    tests/faults/test_lying_mirrors.py::test_a_lie_that_only_the_digest_tells_is_healed_by_the_next_mirror
    tests/faults/test_lying_mirrors.py::test_of_a_mirror_that_lies_alone_nobody_takes_a_wrong_file
    tests/faults/test_lying_mirrors.py::test_a_file_is_had_though_all_mirrors_but_the_last_refuse_it_each_in_its_way
done-6     killed fifty times each
    tests/faults/test_kill.py::test_no_step_of_an_upload_can_be_killed_with_a_loss
    tests/faults/test_kill.py::test_no_step_of_a_download_can_be_killed_with_a_wrong_byte
    tests/faults/test_kill.py::test_fifty_killed_uploads_lose_nothing
    tests/faults/test_kill.py::test_fifty_killed_downloads_serve_no_wrong_byte
done-7     locks differ in the host alone
    tests/e2e/test_lock.py::test_a_lock_differs_from_a_mirrors_in_the_host_alone
done-8     SIGTERM lets answers finish
    tests/e2e/test_lifecycle.py::test_answers_under_way_finish_when_it_is_stopped
done-9     this table, and the mutations
    tests/test_promises.py::test_every_id_is_held_or_has_its_reason
    tests/test_promises.py::test_every_test_that_is_named_exists
    tests/test_mutations.py::test_a_mutation_is_noticed
"""
"""Of the first issue: its own sentences, and what it shows itself done by."""

_MIRRORS = """
mirror-F1       a listed file is away
    tests/faults/test_mirror_failures.py::test_what_clients_fail_at_comes_right_through_us_and_the_log_names_the_mirror
    tests/test_mirrors.py::test_a_file_is_asked_for_at_the_same_path_of_the_other_mirrors
    tests/test_mirrors.py::test_a_place_without_a_file_is_not_asked_for_it_again_so_soon
    tests/test_mirrors.py::test_a_file_is_absent_only_where_every_mirror_says_so
mirror-F2       promised metadata is away
    tests/faults/test_mirror_failures.py::test_what_clients_fail_at_comes_right_through_us_and_the_log_names_the_mirror
    tests/test_metadata.py::test_metadata_that_no_mirror_has_comes_out_of_the_wheel
    tests/test_metadata.py::test_promised_metadata_that_no_mirror_has_costs_a_tail
    tests/test_heal.py::test_metadata_is_read_kept_and_then_promised
mirror-F3       403 for a whole subnet
    tests/faults/test_mirror_failures.py::test_what_clients_fail_at_comes_right_through_us_and_the_log_names_the_mirror
    tests/faults/test_mirror_failures.py::test_f3_the_log_says_what_to_quote_to_the_operators
    tests/test_mirrors.py::test_who_refuses_is_left_alone_at_once_and_named_with_code_and_id
mirror-F4       redirects to other mirrors
    tests/faults/test_mirror_failures.py::test_what_clients_fail_at_comes_right_through_us_and_the_log_names_the_mirror
    tests/faults/test_mirror_failures.py::test_f4_chains_are_followed_to_their_end
    tests/test_mirrors.py::test_links_are_resolved_against_where_the_page_was_found
    tests/test_mirrors.py::test_who_is_sent_on_to_a_mirror_that_refuses_does_not_follow_again
mirror-F5       redirects to nowhere, and circles
    tests/faults/test_mirror_failures.py::test_what_clients_fail_at_comes_right_through_us_and_the_log_names_the_mirror
    tests/test_upstream_index.py::test_a_circle_is_noticed
mirror-F6       an index that is behind
    tests/faults/test_mirror_failures.py::test_f6_a_mirror_that_is_behind_takes_nothing_away
    tests/test_mirrors.py::test_a_page_older_than_the_one_known_is_not_used
    tests/test_removals.py::test_a_page_of_unknown_age_loses_nothing_while_another_mirror_has_the_latest
mirror-F7       backends that disagree
    tests/faults/test_mirror_failures.py::test_f7_backends_that_disagree_change_nothing
    tests/test_mirrors.py::test_where_all_that_answer_are_behind_what_is_known_still_holds
mirror-F8       wrong and short bodies
    tests/faults/test_mirror_failures.py::test_what_clients_fail_at_comes_right_through_us_and_the_log_names_the_mirror
    tests/faults/test_lying_mirrors.py::test_a_lie_that_only_the_digest_tells_is_healed_by_the_next_mirror
    tests/faults/test_lying_mirrors.py::test_what_one_mirror_breaks_off_the_next_ones_bring_to_its_end
mirror-F9       web pages in place of anything
    tests/faults/test_mirror_failures.py::test_what_clients_fail_at_comes_right_through_us_and_the_log_names_the_mirror
    tests/test_mirrors.py::test_whatever_one_mirror_says_instead_of_a_page_the_next_is_asked
    tests/test_upstream_index.py::test_a_captive_portal_is_not_a_file
mirror-F10      a folder's list for a page
    tests/faults/test_mirror_failures.py::test_what_clients_fail_at_comes_right_through_us_and_the_log_names_the_mirror
    tests/test_mirrors.py::test_a_folder_s_listing_in_place_of_json_is_asked_for_as_html
mirror-F11      projects left out
    tests/faults/test_mirror_failures.py::test_what_clients_fail_at_comes_right_through_us_and_the_log_names_the_mirror
    tests/test_mirrors.py::test_a_project_is_absent_only_where_every_mirror_says_so
mirror-F12      slow and stalled files
    tests/faults/test_mirror_failures.py::test_what_clients_fail_at_comes_right_through_us_and_the_log_names_the_mirror
    tests/faults/test_mirror_failures.py::test_f12_a_slow_mirror_is_left_for_a_faster_one
    tests/test_fetch.py::test_a_small_file_that_stalls_is_taken_over_by_another_mirror
    tests/test_upstream_index.py::test_a_file_that_drips_is_a_stall
mirror-F13      mirrors that are no more
    tests/test_config.py::test_a_mirror_that_is_no_more_is_refused_with_what_to_write_instead
mirror-F14      a wrong base URL
    tests/test_probe.py::test_a_wrong_base_url_is_told_with_the_right_one
    tests/test_commands_mirrors.py::test_a_look_from_here_needs_no_server_and_names_the_right_url
mirror-F15      TLS trouble on the way
    tests/faults/test_mirror_failures.py::test_f15_a_certificate_that_nobody_vouches_for_is_not_believed
    tests/test_upstream_index.py::test_a_certificate_counts_only_where_it_is_trusted
mirror-F16      one spelling and no other
    tests/faults/test_mirror_failures.py::test_f16_a_spelling_that_mirrors_do_not_know_is_led_to_the_one_they_do
mirror-F17      removed, and still in a lock
    tests/faults/test_mirror_failures.py::test_f17_a_lock_still_installs_what_was_removed_everywhere
    tests/test_removals.py::test_removed_files_that_are_kept_stay_yanked_through_restarts_until_they_are_listed_again
"""
"""Of mirrors.md: the ways in which mirrors fail."""

_DECISIONS = """
decision-1      acme-* is acme and acme-…
    tests/test_policy.py::test_a_pattern_covers_the_name_and_all_below_it
    tests/test_names.py::test_a_pattern_covers_a_name_or_those_that_begin_so
    tests/test_config.py::test_a_name_cannot_be_reserved_and_overlaid
decision-2      private without files: 200, and no files
    tests/test_repository.py::test_a_reserved_name_without_files_is_an_empty_page_and_not_absent
    tests/test_repository.py::test_an_explicitly_reserved_name_is_an_empty_page_at_once
    tests/test_index.py::test_a_reserved_name_without_files_is_200
    tests/e2e/test_precedence.py::test_uv_does_not_look_for_our_name_at_its_next_index
    tests/e2e/test_life_of_a_project.py::test_a_private_name_without_files_installs_nothing_until_it_is_released
decision-3      a public name: 403, and the way out
    tests/test_publishing.py::test_the_first_upload_of_a_public_name_is_refused_with_the_way_out
    tests/test_publishing.py::test_the_first_upload_is_refused_where_the_index_cannot_be_asked
    tests/test_publishing.py::test_an_operators_word_lets_a_public_name_be_uploaded
    tests/test_policy.py::test_only_an_unknown_name_needs_a_look_at_the_index
    tests/e2e/test_upload_matrix.py::test_a_name_of_the_index_is_refused_with_the_way_out
decision-4      the index is asked once, and late
    tests/test_publishing.py::test_the_first_upload_of_a_new_name_asks_once_and_never_again
    tests/test_publishing.py::test_a_second_sdist_of_a_release_is_refused_before_anything_is_asked
    tests/test_publishing.py::test_a_new_name_that_can_be_taken_for_a_private_one_is_refused_and_no_index_hears_of_it
    tests/test_publishing.py::test_reserving_a_name_asks_nobody_and_stops_who_is_asking
    tests/e2e/test_life_of_a_project.py::test_a_private_name_without_files_installs_nothing_until_it_is_released
decision-5      every reading of a filename counts
    tests/test_names.py::test_a_filename_names_every_project_it_can_belong_to
    tests/test_repository.py::test_where_one_reading_of_a_filename_is_private_the_index_hears_of_none
    tests/test_repository.py::test_a_file_is_served_only_under_the_path_that_its_page_links
    tests/test_administration.py::test_a_filename_that_two_projects_could_have_is_readmitted_by_who_may_change_both
decision-6      what was deleted stays so
    tests/test_stores.py::TestDiskStore::test_a_removed_file_is_gone_and_its_name_is_used_up
    tests/test_stores.py::TestDiskStore::test_a_readmitted_filename_takes_any_bytes_and_is_used_up_again_by_the_next_delete
    tests/test_publishing.py::test_a_deleted_filename_may_be_used_again_only_where_an_operator_says_so
    tests/test_backup.py::test_what_was_deleted_since_stays_deleted
    tests/e2e/test_life_of_a_project.py::test_a_deleted_file_is_gone_at_once_and_its_filename_with_it
decision-7      confusable, as the official index has it
    tests/test_policy.py::test_names_are_confusable_as_the_official_index_has_it
    tests/test_policy.py::test_names_that_people_take_for_each_other
    tests/test_publishing.py::test_a_name_like_a_private_one_is_reserved_only_where_an_operator_insists
    tests/e2e/test_life_of_a_project.py::test_a_name_that_can_be_taken_for_another_needs_an_operators_word
decision-8      removals: withheld, or kept and yanked
    tests/test_removals.py::test_a_file_that_the_index_removed_is_gone_with_the_next_page
    tests/test_removals.py::test_removed_files_that_are_kept_stay_yanked_through_restarts_until_they_are_listed_again
    tests/test_removals.py::test_the_files_of_a_removed_project_are_kept_too_where_an_operator_wants_that
    tests/test_pages.py::test_a_project_that_vanishes_is_believed_gone_when_a_second_fetch_agrees
decision-9      unhashed files: one place, and pinned
    tests/test_model.py::test_an_unhashed_file_has_one_place_on_all_mirrors_of_an_index
    tests/test_model.py::test_unhashed_files_of_other_indexes_or_other_folders_have_other_places
    tests/test_download.py::test_a_file_without_any_hash_is_pinned_at_first_sight
    tests/test_files.py::test_a_file_without_a_hash_is_settled_once_it_is_pinned_and_not_before
    tests/e2e/test_second_index.py::test_a_file_without_a_listed_hash_is_not_taken_with_other_bytes_later
decision-10     facts by content, whoever answers
    tests/test_facts.py::test_what_one_page_said_is_laid_over_another_that_leaves_it_out
    tests/faults/test_outages.py::test_another_mirror_in_its_place_changes_no_etag
    tests/test_pages.py::test_failing_over_to_an_equal_page_changes_nothing_that_clients_see
    tests/test_removals.py::test_only_a_page_with_a_higher_serial_drops_a_file_at_once
    tests/test_removals.py::test_another_mirror_is_asked_at_once_and_believed
decision-11     glances may be unverified, and say so
    tests/test_files.py::test_a_glance_at_a_part_is_answered_unverified_and_kept_by_nobody
    tests/test_files.py::test_any_other_range_follows_the_download_to_its_verified_end
    tests/test_files.py::test_a_part_too_big_for_a_glance_is_verified_too
decision-12     promised metadata is never 404
    tests/test_heal.py::test_healed_metadata_that_is_gone_is_made_again
    tests/test_metadata.py::test_what_is_promised_is_never_called_absent
    tests/test_index.py::test_a_promised_metadata_file_that_no_mirror_gives_is_not_called_absent
decision-13     upstream trouble is 503
    tests/faults/test_outages.py::test_a_page_is_absent_only_where_both_mirrors_say_so_and_else_unknown_in_time
    tests/faults/test_outages.py::test_a_file_is_absent_only_where_both_mirrors_say_so_and_else_unknown_in_time
    tests/faults/test_outages.py::test_a_listed_file_that_no_mirror_has_costs_one_look_at_the_page_and_is_404
decision-14     hidden by policy: 403; not signed in: 401
    tests/test_repository.py::test_a_quarantined_project_offers_nothing_until_it_is_active_again
    tests/test_closed_reading.py::test_a_quarantined_project_gives_its_files_to_nobody_at_any_address
    tests/test_integrity.py::test_a_quarantined_projects_provenance_is_refused_as_its_files_are
    tests/test_closed_reading.py::test_who_has_not_signed_in_is_told_the_same_at_every_address
    tests/e2e/test_life_of_a_project.py::test_a_quarantined_project_gives_nothing_out_and_says_why
decision-16     HEAD asks for a byte at most
    tests/faults/test_crowd.py::test_a_head_of_a_file_whose_size_is_not_listed_asks_for_a_byte_and_fetches_nothing
    tests/test_upstream_index.py::test_a_size_is_asked_for_without_the_file
decision-17     absolute URLs, where they must be
    tests/test_documents.py::test_links_are_those_of_the_host_that_was_asked
    tests/test_index.py::test_provenance_is_at_the_address_by_which_the_client_came
    tests/test_index.py::test_of_a_page_that_many_hosts_are_asked_for_one_is_kept
    tests/test_peers.py::test_any_other_host_is_not_shown
decision-18     /<name>/json, and POST to the index
    tests/test_paths.py::test_what_a_target_asks_for
    tests/test_paths.py::test_all_else_is_not_found
    tests/test_index.py::test_a_post_to_the_index_names_the_upload_address
decision-20     hosts, networks, and credentials' origin
    tests/test_guard.py::test_hosts_narrow_links_but_not_the_mirrors
    tests/test_guard.py::test_listed_networks_may_be_dialled_and_their_neighbours_not
    tests/test_config.py::test_link_local_addresses_cannot_be_allowed
    tests/test_upstream_index.py::test_credentials_go_to_their_own_origin_and_to_no_other
decision-21     content is sniffed
    tests/test_simple_read.py::test_the_body_tells_what_it_is_whatever_was_declared
decision-22     flags, lists and units
    tests/test_config.py::test_upstream_flags_replace_the_mirrors_and_network_flags_add
    tests/test_config.py::test_the_environment_writes_lists_numbers_and_truth_values_as_json
    tests/test_config.py::test_gb_is_decimal_and_gib_binary
decision-23     an HTTP proxy where configured
    tests/test_guard.py::test_names_are_left_to_a_configured_proxy_and_addresses_are_not
    tests/test_guard.py::test_a_proxy_in_the_environment_is_ignored_unless_configured
decision-25     how long pages and 404s hold
    tests/test_docs.py::test_the_example_is_the_defaults
    tests/test_pages.py::test_a_404_of_every_mirror_is_believed_for_a_short_time
    tests/test_pages.py::test_an_older_page_is_asked_for_again_and_a_304_keeps_the_same_object
decision-26     each index alone
    tests/test_index.py::test_an_index_alone_is_a_view_of_its_own
    tests/test_paths.py::test_an_index_is_asked_alone_under_its_own_name
    tests/e2e/test_second_index.py::test_two_variants_of_one_filename_are_never_mixed_up
decision-27     a first user, printed once
    tests/e2e/test_lifecycle.py::test_a_first_start_prints_a_password_once
    tests/e2e/test_lifecycle.py::test_the_lines_of_the_banner_work_as_they_are_printed
    tests/test_cli.py::test_the_first_user_can_sign_in_with_what_was_printed
    tests/test_auth.py::test_where_anyone_may_upload_credentials_are_not_judged
decision-28     passwords over clear http
    tests/test_auth.py::test_passwords_over_clear_http_come_from_where_the_operator_lets_them
    tests/test_auth.py::test_a_refused_line_is_named_before_a_password_is_asked_for_or_judged
    tests/e2e/test_uploaders.py::test_an_operator_says_from_where_clear_passwords_are_taken
decision-29     places that are computed
    tests/test_config.py::test_folders_are_systemds_else_those_of_xdg
    tests/test_docs.py::test_only_what_is_computed_or_has_no_default_is_commented_out
    tests/test_docs.py::test_the_example_is_the_defaults
decision-30     one owner; commands go to the socket
    tests/test_stores.py::test_a_second_yizhan_is_refused
    tests/test_office.py::test_with_a_server_it_is_the_server_that_does_it
    tests/test_office.py::test_the_socket_is_for_its_owner_alone_and_gone_with_the_server
    tests/test_office.py::test_the_results_and_the_errors_are_the_same_with_a_server_and_without
    tests/e2e/test_life_of_a_project.py::test_commands_count_whether_the_server_runs_or_not
decision-31     htpasswd is read again from its path
    tests/test_htpasswd.py::test_a_changed_file_counts_at_the_next_look
    tests/test_htpasswd.py::test_a_removed_file_means_nobody_until_it_is_back
decision-32     refused early, and read
    tests/test_web_uploads.py::test_whoever_may_not_upload_hears_so_while_still_sending
    tests/test_web_uploads.py::test_of_a_body_without_end_only_so_much_is_drained
    tests/e2e/test_uploaders.py::test_who_sends_megabytes_for_nothing_gets_to_read_why
decision-33     a hot page, after who asks for it
    tests/test_front.py::test_what_an_operator_does_to_a_private_project_is_seen_at_once
    tests/test_front.py::test_nothing_is_warm_where_reading_is_for_users
    tests/test_front.py::test_a_page_that_would_be_waited_for_is
    tests/test_repository.py::test_a_page_at_hand_is_the_page_that_would_be_made
    tests/test_work.py::test_a_warm_request_writes_reads_and_packs_nothing_and_asks_nobody
    tests/test_index.py::test_a_warm_request_writes_nothing
    tests/test_stores.py::test_a_warm_page_costs_no_database
    tests/test_stores.py::test_other_processes_see_a_change_at_once
    tests/test_closed_reading.py::test_a_list_that_one_has_seen_is_not_confirmed_to_another
decision-34     no overwrite; flat URLs of old
    tests/test_publishing.py::test_other_bytes_under_a_taken_name_are_refused
    tests/test_rules.py::test_the_words_of_the_configuration_stay_what_they_are
    tests/test_repository.py::test_a_private_file_is_found_by_its_name_alone
    tests/test_paths.py::test_what_a_target_asks_for
decision-36     CLI work has its modules
    tests/test_layers.py::test_every_module_is_on_the_list
    tests/test_layers.py::test_modules_and_functions_are_short
    tests/test_layers.py::test_modules_import_only_what_they_may
"""
"""Of decisions.md, those on names, files, pages, upstream, and people."""

_SET = """
set-1 several indexes, in their order
    tests/test_config.py::test_indexes_are_read_in_their_order
    tests/test_config.py::test_the_environment_reaches_every_index_by_its_number_and_the_first_without
    tests/test_docs.py::test_the_further_indexes_of_the_example_are_accepted_above_the_general_one
set-2 who answers for a name
    tests/test_indexes.py::test_the_first_index_that_has_a_name_answers_and_no_later_one_is_asked
    tests/test_indexes.py::test_an_index_is_asked_only_for_the_names_it_may_answer_for
    tests/test_indexes.py::test_an_index_that_cannot_say_ends_the_search
    tests/test_indexes.py::test_a_file_comes_from_the_index_that_lists_it_and_from_no_other
    tests/e2e/test_second_index.py::test_pytorchs_wheels_come_from_its_index_and_what_it_does_not_know_from_the_next
set-3 credentials, and no log that has them
    tests/test_config.py::test_a_netrc_file_is_for_the_operators_own_mirrors_by_host
    tests/test_config.py::test_a_login_of_the_environment_is_for_the_index_that_asks_for_it
    tests/test_config.py::test_a_password_in_a_url_is_refused_and_not_repeated
    tests/test_upstream_index.py::test_credentials_stand_in_no_sentence
set-4 what is known of each mirror
    tests/test_config.py::test_every_preset_is_a_url_that_a_configuration_could_hold
    tests/test_config.py::test_403_means_unknown_at_pytorch_and_where_the_operator_says_so
    tests/test_docs.py::test_the_example_names_every_preset
    tests/test_mirrors.py::test_a_mirror_that_keeps_its_files_apart_is_asked_for_them_there
set-5 PyTorch and flat pages beside it
    tests/e2e/test_second_index.py::test_pytorchs_wheels_come_from_its_index_and_what_it_does_not_know_from_the_next
    tests/e2e/test_second_index.py::test_wheels_of_a_flat_page_are_installed_as_from_any_index
    tests/e2e/test_second_index.py::test_a_first_index_that_is_down_is_not_passed_over
    tests/test_flat.py::test_no_name_is_ever_told_to_the_server_of_a_flat_page
    tests/test_flat.py::test_an_outage_makes_the_page_old_and_never_absent
set-6 imitated to the letter
    tests/test_family.py::test_a_page_in_json_is_shadowmires_to_the_letter
    tests/test_family.py::test_a_blocked_subnet_reads_why_in_several_languages
    tests/test_family.py::test_aliyun_has_html_for_everyone_and_little_in_it
    tests/test_family.py::test_sjtu_redirects_what_is_too_big_and_has_a_notice_for_the_rest
    tests/test_family.py::test_ustc_leads_to_tuna_for_what_it_does_not_hold
    tests/test_family.py::test_a_page_of_pytorch_is_theirs_to_the_letter
    tests/test_family.py::test_a_flat_page_is_the_samples
pages-1         only all-404 is 404
    tests/test_mirrors.py::test_a_project_is_absent_only_where_every_mirror_says_so
    tests/test_mirrors.py::test_whatever_one_mirror_says_instead_of_a_page_the_next_is_asked
    tests/test_mirrors.py::test_a_page_without_files_is_believed_only_where_nobody_has_any
pages-2         never back, and whole once a day
    tests/test_mirrors.py::test_a_page_older_than_the_one_known_is_not_used
    tests/test_mirrors.py::test_a_page_is_fetched_whole_once_a_day_however_many_304s_came
    tests/test_removals.py::test_a_page_that_loses_most_of_its_files_once_loses_none
    tests/test_removals.py::test_losses_that_wait_survive_a_restart_and_are_confirmed_after_it
pages-3         left alone, ranked, few at a time
    tests/test_health.py::test_a_mirror_is_left_alone_after_three_failures_in_a_row
    tests/test_health.py::test_each_pause_is_twice_as_long_up_to_the_longest
    tests/test_health.py::test_pauses_differ_by_chance
    tests/test_health.py::test_a_refusal_leaves_it_alone_at_once_and_for_long
    tests/test_mirrors.py::test_of_many_questions_in_an_outage_one_goes_out_and_decides_on_the_others
    tests/test_mirrors.py::test_a_mirror_clearly_slower_than_the_others_is_asked_after_them
    tests/test_mirrors.py::test_a_mirror_with_all_hands_full_is_passed_over
    tests/test_config.py::test_a_user_agent_is_one_line_of_ascii
pages-4         2 seconds, or 10
    tests/test_pages.py::test_a_slow_refresh_is_waited_for_only_shortly_where_an_old_page_exists
    tests/test_pages.py::test_a_cold_page_is_waited_for_no_longer_than_the_hard_deadline
    tests/faults/test_outages.py::test_what_nobody_answers_for_is_said_within_the_hard_deadline
    tests/test_indexes.py::test_all_indexes_together_keep_to_one_deadline
pages-5         redirects and addresses
    tests/test_upstream_index.py::test_five_redirects_are_followed_and_six_are_not
    tests/test_upstream_index.py::test_https_is_never_left
    tests/test_guard.py::test_neither_link_nor_redirect_reaches_what_is_inside
    tests/test_guard.py::test_the_socket_alone_would_hold_against_every_spelling
    tests/test_guard.py::test_some_addresses_are_dialled_for_nobody
transfer-1      one path at every mirror
    tests/test_mirrors.py::test_a_file_is_asked_for_at_the_same_path_of_the_other_mirrors
    tests/test_mirrors.py::test_the_metadata_beside_a_file_is_had_from_any_mirror
transfer-2      stalled or slow: on with another
    tests/test_fetch.py::test_what_a_broken_line_left_undone_is_asked_of_another
    tests/test_fetch.py::test_a_small_file_that_stalls_is_taken_over_by_another_mirror
    tests/faults/test_mirror_failures.py::test_f12_a_slow_mirror_is_left_for_a_faster_one
transfer-3      who lies is asked last
    tests/test_doubts.py::test_who_had_a_part_in_a_wrong_file_is_asked_last
    tests/test_doubts.py::test_an_honest_mirror_is_found_within_a_few_requests
    tests/faults/test_pieces.py::test_a_liar_that_brings_pieces_is_found_out_within_three_requests
transfer-4      unhashed: pinned at first sight
    tests/test_download.py::test_a_file_without_any_hash_is_pinned_at_first_sight
    tests/e2e/test_second_index.py::test_a_file_without_a_listed_hash_is_not_taken_with_other_bytes_later
fast-1          pieces over all mirrors at once
    tests/test_fetch.py::test_a_big_file_comes_from_all_mirrors_at_once_and_each_byte_of_it_once
    tests/faults/test_pieces.py::test_the_speeds_of_all_connections_add_up
fast-2          slow ones dropped, the end raced
    tests/test_segments.py::test_a_source_eight_times_slower_than_the_best_loses_its_piece
    tests/test_segments.py::test_the_end_is_raced_by_who_has_nothing_else_to_do_and_the_loser_is_given_up
    tests/test_segments.py::test_races_cost_a_bounded_number_of_bytes
fast-3          in order, and the whole verified
    tests/test_fetch.py::test_bytes_reach_clients_in_order_as_soon_as_nothing_before_them_is_missing
    tests/test_fetch.py::test_whatever_breaks_and_whoever_lies_a_client_gets_the_right_file_or_none
fast-4          a Range of what is not here
    tests/test_files.py::test_ten_clients_who_read_the_end_of_a_wheel_cost_one_question_and_no_download
    tests/test_glimpses.py::test_what_is_read_bit_by_bit_at_the_end_is_one_question
    tests/e2e/test_lazy.py::test_uv_resolves_without_metadata_and_fetches_no_whole_wheel
heal-1          sizes and times from elsewhere
    tests/test_heal.py::test_sizes_and_times_come_from_the_legacy_document
    tests/test_heal.py::test_what_no_document_tells_another_mirrors_page_may
    tests/test_heal.py::test_behind_a_mirror_that_tells_nothing_a_page_tells_all
heal-2          metadata of our own reading
    tests/test_heal.py::test_metadata_is_read_kept_and_then_promised
    tests/test_metadata.py::test_no_whole_wheel_is_fetched_for_its_metadata
    tests/test_metadata.py::test_a_wheel_that_is_here_is_read_here
heal-3          newest first, and bounded
    tests/test_heal.py::test_the_newest_versions_are_read_and_no_more_of_them_than_some
    tests/test_heal.py::test_those_who_asked_last_are_provided_for
    tests/test_heal.py::test_no_more_waits_to_be_healed_than_some
heal-4          time limits without times
    tests/e2e/test_family.py::test_a_time_limit_works_over_a_mirror_that_gives_no_times
    tests/e2e/test_family.py::test_pips_time_limit_works_over_a_mirror_that_gives_no_times
heal-5          a guess is no exact time
    tests/test_simple_write.py::test_a_guessed_time_has_a_key_of_our_own_and_stands_in_json_alone
    tests/test_facts.py::test_a_guess_is_never_an_exact_time_unless_the_operator_says_so
ahead-1         what is required is there already
    tests/test_lookahead.py::test_all_that_a_project_requires_is_asked_for_once
    tests/test_lookahead.py::test_the_client_who_comes_to_a_page_later_starts_nothing_anew
    tests/test_lookahead.py::test_the_newest_suitable_version_is_looked_at
ahead-2         bounded, private, and can be off
    tests/test_lookahead.py::test_no_more_projects_are_asked_for_than_some
    tests/test_lookahead.py::test_a_chain_is_followed_to_a_depth
    tests/test_lookahead.py::test_private_names_never_leave_the_building
    tests/test_lookahead.py::test_looking_ahead_can_be_switched_off
visible-1       how each mirror does
    tests/test_commands_mirrors.py::test_each_mirror_has_a_line_and_a_failure_the_mirrors_own_words
    tests/test_commands_mirrors.py::test_the_servers_word_is_json_with_each_mirrors_state
    tests/test_commands_mirrors.py::test_each_figure_has_its_unit
visible-2       a look at a configuration
    tests/test_probe.py::test_a_wrong_base_url_is_told_with_the_right_one
    tests/test_probe.py::test_a_dead_mirror_is_told_as_such_and_no_other_url_is_made_up
    tests/test_probe.py::test_a_mirror_without_ranges_is_told_as_such
    tests/test_commands_mirrors.py::test_a_look_that_finds_no_mirror_of_use_ends_with_1
visible-3       where a page is from, and its age
    tests/test_index.py::test_a_page_says_which_mirror_it_came_from_and_how_old_it_is
    tests/test_pages.py::test_where_a_page_came_from_is_told_as_long_as_it_is_in_memory
set-done-1      clients fail there, and not here
    tests/faults/test_mirror_failures.py::test_what_clients_fail_at_comes_right_through_us_and_the_log_names_the_mirror
set-done-2      all mirrors dead
    tests/e2e/test_family.py::test_with_all_mirrors_dead_what_was_ever_fetched_installs_and_the_rest_is_503
    tests/faults/test_outages.py::test_with_all_mirrors_dead_what_is_cached_installs_and_the_rest_is_unknown_until_they_are_back
set-done-3      ours and nginx in one run
    tests/bench/test_figures.py::test_a_ratio_is_taken_round_by_round
    tests/bench/test_figures.py::test_a_round_that_failed_counts_for_neither_side
    tests/bench/test_tree.py::test_installing_the_root_takes_all_of_its_closure
    tests/bench/test_line.py::test_more_than_the_line_holds_comes_back_whole_and_late
    tests/faults/test_pieces.py::test_the_speeds_of_all_connections_add_up
set-done-4      nothing inside is dialled
    tests/test_guard.py::test_neither_link_nor_redirect_reaches_what_is_inside
    tests/test_guard.py::test_the_socket_alone_would_hold_against_every_spelling
    tests/test_guard.py::test_the_victim_can_be_reached_where_nobody_guards_it
set-done-5      a lock without a whole wheel
    tests/e2e/test_family.py::test_a_lock_over_a_mirror_that_tells_nothing_is_a_complete_mirrors_and_costs_no_wheel
"""
"""Of the issue on mirrors: its own sentences, and what it shows itself done by."""

_PRIVATE = """
private-uploaders      seven tools, and what a person reads
    tests/e2e/test_upload_matrix.py::test_a_new_wheel_and_a_new_sdist
    tests/e2e/test_upload_matrix.py::test_the_same_again_is_fine
    tests/e2e/test_upload_matrix.py::test_other_bytes_are_refused
    tests/e2e/test_upload_matrix.py::test_who_wishes_so_skips_what_exists
    tests/e2e/test_upload_matrix.py::test_what_was_damaged_on_its_way_is_refused_as_that
    tests/e2e/test_upload_matrix.py::test_a_wrong_password
    tests/e2e/test_upload_matrix.py::test_no_password
    tests/e2e/test_backends.py::test_what_a_backend_builds_is_let_in_strictly_too
private-sign-in        tokens, settings and keyrings of tools
    tests/e2e/test_upload_matrix.py::test_a_token_for_the_project
    tests/e2e/test_upload_matrix.py::test_a_token_for_other_projects
    tests/e2e/test_upload_matrix.py::test_a_token_for_reading
    tests/e2e/test_upload_matrix.py::test_a_token_that_was_revoked
    tests/e2e/test_upload_matrix.py::test_a_token_as_uv_is_told_of_it
    tests/e2e/test_upload_matrix.py::test_a_token_that_is_kept
    tests/e2e/test_upload_matrix.py::test_one_of_several_servers_in_the_settings
    tests/e2e/test_upload_matrix.py::test_a_password_in_the_keyring
    tests/e2e/test_tokens.py::test_a_token_publishes_what_it_is_for_and_a_person_reads_why_it_does_no_more
private-validation     read, never extracted, within limits
    tests/test_hostile.py::test_what_is_made_to_harm_is_refused_in_words
    tests/test_hostile.py::test_what_the_corpus_is_made_of_is_fine_itself
    tests/test_hostile.py::test_nothing_that_is_in_an_archive_touches_the_file_system
    tests/test_hostile.py::test_no_changed_byte_brings_anything_but_its_metadata_or_bad_upload
    tests/test_hostile.py::test_no_changed_byte_costs_more_than_the_limits
private-legacy         honest names of old
    tests/test_upload.py::test_an_sdist_promises_no_metadata
    tests/test_web_uploads.py::test_what_the_official_index_refuses_gets_in_by_default_alone
    tests/e2e/test_backends.py::test_what_a_backend_of_old_builds_is_let_in_by_default_alone
private-strict         as the official index
    tests/test_web_uploads.py::test_what_the_official_index_takes_gets_in_strictly_too
    tests/test_web_uploads.py::test_what_the_official_index_refuses_gets_in_by_default_alone
    tests/test_strict.py::test_from_its_bytes_to_the_verdict
    tests/test_strict.py::test_no_metadata_brings_anything_but_a_verdict
private-names          claimed, private, emptied, reserved
    tests/test_publishing.py::test_what_is_known_of_each_name
    tests/test_publishing.py::test_a_name_given_back_to_the_public_is_asked_about_again
    tests/test_life_of_names.py::test_names_live_as_the_model_says_and_the_index_hears_of_no_private_one
    tests/e2e/test_life_of_a_project.py::test_a_private_name_without_files_installs_nothing_until_it_is_released
    tests/e2e/test_life_of_a_project.py::test_a_public_name_becomes_private_by_an_operators_word_alone
private-restored       no reservation is lost with a backup
    tests/test_backup.py::test_what_was_said_of_a_name_since_counts_and_what_was_said_before_comes_back
    tests/test_backup.py::test_what_was_uploaded_and_claimed_since_stays
    tests/test_backup.py::test_a_reservation_comes_back_to_a_name_that_was_uploaded_since
private-names-command  list, reserve, release if sure
    tests/test_cli.py::test_names_are_listed_for_people_and_for_programs
    tests/test_cli.py::test_releasing_a_name_wants_a_yes_that_a_pipe_cannot_give
    tests/test_cli.py::test_releasing_with_yes_asks_nothing
    tests/test_office.py::test_commands_work_beside_a_real_server_and_without_it
private-yank           with a reason, and back
    tests/test_administration.py::test_a_version_is_yanked_with_its_reason_and_unyanked
    tests/test_integrity.py::test_all_three_representations_say_at_once_what_an_operator_said
    tests/test_documents.py::test_a_release_is_yanked_where_all_its_files_are
    tests/e2e/test_life_of_a_project.py::test_a_yank_counts_at_once_and_its_reason_is_read
    tests/e2e/test_life_of_a_project.py::test_a_lock_keeps_what_was_yanked_and_a_new_one_passes_it_by
private-delete         a file or a release, told first
    tests/test_administration.py::test_a_deletion_is_only_told_until_it_is_asked_for
    tests/test_publishing.py::test_what_a_selection_means
    tests/test_repository.py::test_what_is_yanked_or_deleted_is_so_on_the_next_page
    tests/e2e/test_life_of_a_project.py::test_a_deleted_file_is_gone_at_once_and_its_filename_with_it
private-api            the same over HTTP
    tests/test_api.py::test_a_version_is_yanked_over_http
    tests/test_api.py::test_a_deletion_says_that_it_is_none_unless_dry_run_is_false
    tests/test_api.py::test_nothing_but_a_post_changes_anything
    tests/e2e/test_life_of_a_project.py::test_who_has_the_right_yanks_and_deletes_over_http_and_nobody_else
private-status         archived, deprecated, quarantined
    tests/test_publishing.py::test_a_closed_project_takes_no_uploads_until_it_is_active_again
    tests/test_publishing.py::test_a_deprecated_project_takes_uploads
    tests/test_repository.py::test_the_status_of_a_project_stands_on_its_page_with_its_reason
    tests/test_repository.py::test_a_quarantined_project_offers_nothing_until_it_is_active_again
    tests/e2e/test_life_of_a_project.py::test_a_quarantined_project_gives_nothing_out_and_says_why
    tests/e2e/test_life_of_a_project.py::test_an_archived_project_is_installed_and_takes_no_uploads
private-users          made by Apache, or by us
    tests/test_users.py::test_apaches_own_program_knows_the_users_that_we_make
    tests/test_users.py::test_what_apaches_own_program_wrote_can_be_changed_and_taken_out
    tests/test_users.py::test_twenty_administrators_at_once_lose_no_line
    tests/test_cli.py::test_users_come_and_go_and_their_tokens_go_with_them
private-tokens         shown once, kept as a digest, seen last
    tests/test_tokens.py::test_a_token_is_a_prefix_an_id_and_a_secret_of_256_bits_of_which_only_a_digest_is_kept
    tests/test_tokens.py::test_a_token_ends_with_its_time
    tests/test_tokens.py::test_when_a_token_was_last_seen_is_written_once_a_minute_at_most
    tests/test_cli.py::test_a_token_stands_alone_on_standard_output_and_works
    tests/test_cli.py::test_tokens_are_listed_and_revoked
    tests/e2e/test_tokens.py::test_a_token_that_was_revoked_opens_nothing_any_more
private-rights         by user, pattern and deed
    tests/test_rights.py::test_as_soon_as_there_is_a_rule_nobody_may_do_what_none_grants
    tests/test_rights.py::test_each_right_comes_with_the_lesser_ones
    tests/test_rights.py::test_a_token_only_ever_takes_away_and_a_rule_only_ever_adds
    tests/test_config.py::test_rules_are_read_in_their_order
    tests/test_closed_reading.py::test_who_has_no_right_to_a_project_sees_nothing_of_it_at_any_address
    tests/e2e/test_life_of_a_project.py::test_who_has_the_right_yanks_and_deletes_over_http_and_nobody_else
private-closed         401 at every address
    tests/test_closed_reading.py::test_who_has_not_signed_in_is_told_the_same_at_every_address
    tests/test_closed_reading.py::test_who_may_read_a_project_reads_it_at_every_address
    tests/e2e/test_tokens.py::test_a_token_opens_the_index_wherever_it_is_kept
    tests/e2e/test_documents.py::test_where_reading_is_for_users_nobody_else_learns_what_is_here
private-guessing       slowed by user and address
    tests/test_limits.py::test_one_user_at_one_address_waits_and_nobody_else
    tests/test_limits.py::test_a_user_who_is_wrong_at_many_addresses_waits_everywhere
    tests/test_limits.py::test_what_is_remembered_is_bounded_whatever_is_sent
    tests/test_auth.py::test_a_token_passes_whatever_was_guessed_beside_it
private-clear-http     refused in words
    tests/test_auth.py::test_passwords_over_clear_http_come_from_where_the_operator_lets_them
    tests/e2e/test_uploaders.py::test_passwords_are_not_taken_from_the_internet_over_clear_http
private-json           with the URLs that pip-tools needs
    tests/test_documents.py::test_a_url_is_what_pip_makes_of_our_link
    tests/e2e/test_documents.py::test_pip_compile_takes_all_hashes_from_our_json
    tests/e2e/test_documents.py::test_where_reading_is_for_users_pip_compile_takes_them_from_our_json_too
private-search         over private and cached names
    tests/test_search.py::test_a_private_project_is_found_by_name_and_by_summary
    tests/test_search.py::test_names_that_somebody_asked_the_index_for_are_found_without_another_question
    tests/test_search.py::test_only_what_may_be_read_is_found
    tests/test_search.py::test_hostile_calls_are_answered_with_a_fault
    tests/e2e/test_documents.py::test_pip_search_prints_what_is_here
private-provenance     kept and served, or refused
    tests/test_web_uploads.py::test_attestations_become_the_provenance_of_the_file
    tests/test_web_uploads.py::test_attestations_that_are_none_of_this_file_are_refused_in_words
    tests/test_integrity.py::test_a_page_names_the_provenance_of_a_file_and_there_it_is
    tests/test_stores.py::TestDiskStore::test_a_provenance_is_kept_byte_for_byte_and_listed_where_it_is_answered
private-passed-on      status and provenance of an index
    tests/test_integrity.py::test_the_provenance_of_an_indexs_file_is_where_the_index_says
    tests/test_simple_read.py::test_provenance_is_an_absolute_address_or_nothing
    tests/test_simple_read.py::test_other_states_keep_their_files
    tests/test_simple_write.py::test_a_projects_state_is_at_the_top_level
private-order          on the disk, then the 200
    tests/faults/test_durability.py::test_an_upload_is_on_the_disk_in_the_right_order_before_it_is_acknowledged
    tests/faults/test_deeds.py::test_a_deed_is_committed_before_it_is_acknowledged
    tests/test_stores.py::test_bytes_reach_the_disk_before_names_names_before_rows_and_rows_before_others
private-failing-disk   nothing is left, and 5xx is said
    tests/faults/test_durability.py::test_an_upload_is_refused_at_each_call_that_fails_and_works_the_next_time
    tests/faults/test_deeds.py::test_a_deed_whose_call_fails_is_refused_whole_and_works_the_next_time
    tests/test_stores.py::test_a_change_that_cannot_be_committed_is_none_and_the_next_one_is_fine
private-racing         one wins
    tests/e2e/test_racers.py::test_of_fifty_with_other_bytes_for_one_filename_one_wins
    tests/e2e/test_racers.py::test_of_two_sdists_of_one_release_one_wins
    tests/test_publishing.py::test_uploads_yanks_and_deletions_at_once_leave_what_one_after_the_other_would
private-together       row and file, or neither
    tests/test_stores.py::test_a_content_without_a_row_is_invisible_and_can_be_uploaded
    tests/test_stores.py::test_rows_that_find_no_room_are_not_there
    tests/faults/test_powercut.py::test_what_was_promised_outlives_a_power_cut_at_any_moment
private-import         from elsewhere, and nothing is changed there
    tests/test_imports.py::test_the_source_is_left_as_it_was
    tests/test_imports.py::test_a_folder_is_taken_with_all_below_it
    tests/test_imports.py::test_an_export_of_devpi_is_taken_with_its_times
    tests/test_imports.py::test_an_import_that_is_killed_has_whole_files_alone_and_goes_on_when_run_again
    tests/test_imports.py::test_with_link_a_file_takes_no_room_where_that_can_be_done
    tests/test_imports.py::test_a_digest_that_stands_beside_a_file_must_be_its_own
    tests/test_imports.py::test_a_file_that_cannot_be_taken_is_named_with_its_reason_and_the_others_are_taken
    tests/test_imports.py::test_a_bar_stands_on_a_terminal_and_nowhere_else
private-backup         while it runs, and back
    tests/test_backup.py::test_backups_beside_a_server_that_takes_uploads_hold_all_that_was_acknowledged
    tests/test_backup.py::test_what_was_backed_up_is_restored_to_the_last_row_and_byte
    tests/test_backup.py::test_of_a_damaged_backup_nothing_is_restored_or_what_is_whole
    tests/test_backup.py::test_the_commands_say_what_they_did
private-verify         every file, and the exit status
    tests/test_backup.py::test_verify_finds_each_damaged_file_and_no_other
    tests/test_backup.py::test_verify_changes_nothing_and_its_exit_status_tells
private-done-1         the matrix of uploads
    tests/e2e/test_upload_matrix.py::test_a_new_wheel_and_a_new_sdist
    tests/e2e/test_upload_matrix.py::test_the_same_again_is_fine
    tests/e2e/test_upload_matrix.py::test_other_bytes_are_refused
    tests/e2e/test_upload_matrix.py::test_what_was_damaged_on_its_way_is_refused_as_that
    tests/e2e/test_upload_matrix.py::test_a_wrong_password
    tests/e2e/test_upload_matrix.py::test_no_password
    tests/e2e/test_upload_matrix.py::test_a_token_of_another_index
    tests/e2e/test_upload_matrix.py::test_a_token_for_the_project
    tests/e2e/test_upload_matrix.py::test_a_name_of_the_index_is_refused_with_the_way_out
    tests/e2e/test_upload_matrix.py::test_a_reserved_name_is_taken_and_the_index_not_asked
private-done-2         what our forerunner tests with clients
    tests/e2e/test_forerunner.py::test_a_package_that_is_not_there_is_not_found
    tests/e2e/test_forerunner.py::test_where_all_is_open_everybody_uploads_and_downloads
    tests/e2e/test_forerunner.py::test_where_uploads_need_a_user_downloads_do_not
    tests/e2e/test_forerunner.py::test_where_all_needs_a_user_downloads_do_too
    tests/e2e/test_forerunner.py::test_every_hash_that_pip_knows_holds_for_what_was_uploaded
    tests/e2e/test_forerunner.py::test_who_registers_first_reads_that_it_is_not_needed
private-done-3         killed and cut off everywhere
    tests/faults/test_kill.py::test_no_step_of_an_upload_can_be_killed_with_a_loss
    tests/faults/test_deeds.py::test_a_deed_that_is_killed_is_done_whole_or_not_at_all
    tests/faults/test_deeds.py::test_a_deed_can_be_killed_at_any_call_whatever_it_does
    tests/faults/test_durability.py::test_an_upload_is_on_the_disk_in_the_right_order_before_it_is_acknowledged
    tests/faults/test_powercut.py::test_what_was_promised_outlives_a_power_cut_at_any_moment
    tests/faults/test_powercut.py::test_a_long_life_outlives_a_power_cut_at_any_moment
    tests/faults/test_kills_at_random.py::test_nothing_is_lost_by_kills_at_random
    tests/faults/test_kills_at_random.py::test_nothing_is_lost_by_two_hundred_kills_at_random
private-done-4         fifty racers
    tests/e2e/test_racers.py::test_of_fifty_with_other_bytes_for_one_filename_one_wins
private-done-5         10,000 steps beside a model
    tests/test_life_of_names.py::test_names_live_as_the_model_says_and_the_index_hears_of_no_private_one
    tests/test_life_of_names.py::test_names_live_long_as_the_model_says
private-done-6         a thousand files of a pypiserver
    tests/e2e/test_import.py::test_a_thousand_files_of_a_pypiserver_are_imported_and_install_with_their_hashes
"""
"""Of the issue on the private index: its own sentences, and what it shows itself done by."""

PROMISES: Mapping[str, Promise] = MappingProxyType(
    _read(_RULES + _UPLOADS + _CASES + _SENTENCES + _MIRRORS + _DECISIONS + _SET + _PRIVATE)
)

NOT_YET: Mapping[str, str] = MappingProxyType(
    {
        "E25:quotas": "No project and no user has a quota: uploads are refused when the disk is full, and not before.",
    }
)
"""Id, or a part of one that is held otherwise, to what is missing."""

NOT_OURS: Mapping[str, str] = MappingProxyType(
    {
        "rule-64": "What pip caches over plain http is pip's to decide: nothing that a server sends changes it.",
        "decision-35": "It says how sketches are to be read, and nothing of the server.",
        "private-done-2:list": "What does not apply of our forerunner's tests is told where the work is handed over.",
        "set-done-3:figures": "What a machine's figures are is printed by tests/bench/upstream.py, and judged there.",
        "done-10": "Done by hand: README from its top, in a shell that has never seen the project.",
    }
)
"""Id to why no test can hold it."""
