"""Entries: what of a mode is part of a version."""

from __future__ import annotations

from sheaf.model.entries import Kind, ManifestEntry


def test_only_the_owners_execute_bit_of_a_file_counts() -> None:
    assert ManifestEntry("", "a", Kind.FILE, 0o744).executable
    assert ManifestEntry("", "a", Kind.EXTERNAL, 0o100).executable
    assert not ManifestEntry("", "a", Kind.FILE, 0o677).executable
    assert not ManifestEntry("", "a", Kind.FOLDER, 0o755).executable
    assert not ManifestEntry("", "a", Kind.SYMLINK, 0o777).executable


def test_a_path_is_folder_and_name() -> None:
    assert ManifestEntry("", "a", Kind.FILE).path == "a"
    assert ManifestEntry("b/c", "a", Kind.FILE).path == "b/c/a"
