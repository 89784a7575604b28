"""Entries: what of a mode is part of a version."""

from __future__ import annotations

from sheaf.model.entries import Entry, Kind


def test_only_the_owners_execute_bit_of_a_file_counts() -> None:
    assert Entry("", "a", Kind.FILE, 0o744).executable
    assert Entry("", "a", Kind.EXTERNAL, 0o100).executable
    assert not Entry("", "a", Kind.FILE, 0o677).executable
    assert not Entry("", "a", Kind.FOLDER, 0o755).executable
    assert not Entry("", "a", Kind.SYMLINK, 0o777).executable


def test_a_path_is_folder_and_name() -> None:
    assert Entry("", "a", Kind.FILE).path == "a"
    assert Entry("b/c", "a", Kind.FILE).path == "b/c/a"
