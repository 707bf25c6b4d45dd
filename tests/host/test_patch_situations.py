"""The situations that patch-package (npm's peer) tests, each with the test that shows what happens here.

Its integration tests are folders of github.com/ds300/patch-package, integration-tests/; 45 names in its history.
"""

from __future__ import annotations

from importlib import import_module

import pytest

HERE = {
    # Applying
    "happy-path-npm": "host.test_patch_watch:TestPip.test_upgrade_and_reinstall_under_watch",
    "happy-path-yarn": "host.test_patch_packages:test_one_by_one",
    "package-gets-updated": "host.test_patch_packages:test_upgrades_downgrades_and_reinstallations_in_every_order",
    "partial-patch-reinstalls": "host.test_patch_work:TestPlainCopy.test_a_lost_record_is_made_anew",
    "partial-apply": "host.test_patch_text:test_the_half_patch_is_completed",
    "append-patches": "host.test_patch_work:TestPlainCopy.test_levels_add_to_one_another",
    "apply-multiple-patches": "host.test_patch_packages:test_a_second_patch_package_beside_the_first",
    "adding-and-deleting-files": "host.test_patch_work:TestPlainCopy.test_a_copy_that_went_away_is_forgotten",
    "file-mode-changes": "host.test_patch_files:TestReplacing.test_owner_attributes_and_acl_are_kept",
    "ignore-whitespace": "host.test_patch_text:test_line_ends_and_byte_order_mark_stay",
    "no-symbolic-links": "host.test_patch_work:TestPlainCopy.test_a_symbolic_link_is_refused",
    # Where things are
    "nested-packages": "host.test_patch_places:TestFinding.test_environments",
    "nested-scoped-packages": "host.test_patch_places:TestFinding.test_folders_of_packages",
    "scoped-package": "host.test_patch_places:TestVersions.test_names_are_compared_normalised",
    "resolve-relative-paths": "host.test_patch_cli:TestCommands.test_usage",
    "custom-patch-dir": "stack.test_patches:test_patches_are_read_in_the_stacks_order",
    "custom-resolutions": "host.test_patch_packages:test_a_copy_of_another_package_is_patched_and_given_back",
    "yarn-workspaces": "host.test_patch_work:TestPlainCopy.test_environments_that_share_an_inode_are_both_patched",
    "lerna-canary": "host.test_patch_places:TestVersions.test_affected",
    "yarn-path": "host.test_patch_places:TestFinding.test_a_real_environment",
    # What is wrong
    "broken-patch-file": "host.test_patch_cli:TestCommands.test_a_damaged_package",
    "patch-parse-failure": "host.test_patch_recipe:test_what_is_wrong_is_told_with_its_field",
    "collate-errors": "host.test_patch_work:TestPlainCopy.test_every_copy_is_told_of_and_one_that_fails_stops_none",
    "error-on-fail": "host.test_patch_work:TestPlainCopy.test_what_cannot_be_patched_is_told",
    "error-on-warn": "host.test_patch_work:TestPlainCopy.test_versions",
    "fails-when-no-package": "host.test_patch_work:TestDivertedCopy.test_a_copy_that_never_was",
    "ignore-missing": "host.test_patch_cli:TestCommands.test_nothing_known_is_no_finding",
    "dev-only-patches": "host.test_patch_packages:test_unpack_first_configure_later_as_apt_does",
    # Giving back
    "reverse-option": "host.test_patch_work:TestPlainCopy.test_apply_status_restore",
    "reverse-multiple-patches": "host.test_patch_text:TestPristine.test_the_text_before_comes_back",
    # Making a patch
    "expect-patch": "cli.test_patch:TestNew.test_filled_in_it_passes",
    "delete-old-patch-files": "cli.test_patch:TestNew.test_what_is_there_stays",
    "unexpected-patch-creation-failure": "cli.test_patch:TestNew.test_wrong_values_are_told_by_the_files_own_rules",
    "rebase-update": "cli.test_patch:TestTry.test_each_side_of_the_range_is_fetched_and_tried",
    "rebase-fast-forward-failures": "cli.test_patch:TestTry.test_an_affected_one_that_cannot_be_mended_fails",
}
NOT_HERE = {
    "create-issue": "opens a page of GitHub",
    "lockfile": "the version in force is read from what is installed, not from a package manager's lock",
    "shrinkwrap": "the same",
    "ignores-scripts-when-making-patch": "wheels are read to make a patch; nothing of them is installed or runs",
    "delete-scripts": "the same",
    "exclude-git-ignored-files": "a patch is no difference of two folders: it names its edits",
    "include-exclude-paths": "the same",
    "include-exclude-regex-relativity": "the same",
    "rebase-insert": "edits have no order in time to be put between",
    "rebase-zero": "the same",
}


@pytest.mark.parametrize(("situation", "where"), HERE.items())
def test_a_test_shows_what_happens_here(situation: str, where: str) -> None:
    module, _, name = where.partition(":")
    found = import_module(f"tests.{module}")
    for part in name.split("."):
        found = getattr(found, part)
    assert callable(found)
    assert situation not in NOT_HERE


def test_they_are_all_there() -> None:
    assert len(HERE) + len(NOT_HERE) == 45
