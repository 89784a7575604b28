"""What comes out of a damaged store: every file that is sound, none that isn't, and each that didn't come is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.check.builders import HARM, bundles, packs, readable
from tests.cli.conftest import Cli, cli  # noqa: F401 - a fixture
from tests.repair.builders import World, flip

from sheaf.errors import Corrupt
from sheaf.transfer.download.damaged import Damaged
from sheaf.transfer.download.install import Installation


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("how", HARM)
def test_all_that_is_sound_comes_out_and_the_rest_is_named(world: World, tmp_path: Path, how: str) -> None:
    seen = 0
    for n, key in enumerate(packs(world)):
        broken = world.copy()
        broken.primary.url = f"mem:{how}{n}"
        HARM[how](broken.primary, key)
        with broken.process() as store:
            for bundle in bundles(store):
                sound, bad = readable(bundle)
                told: list[Damaged] = []
                verified = bundle.verify(on_damaged=told.append)
                assert ({each.path for each in told}, verified.damaged) == (bad, len(bad))
                some = {*sorted(sound)[1:], *sorted(bad)[1:]}
                part = bundle.verify(on_damaged=told.append, files=some)
                assert (part.files, part.damaged) == (len(some - bad), len(some & bad))
                done = bundle.download(tmp_path / f"{n}-{bundle.id}", skip_on_error=True)
                assert files_in(tmp_path / f"{n}-{bundle.id}") == sound
                assert [each.path for each in done.damaged] == sorted(bad)
                assert done.files == len(sound) == verified.files
                seen += len(bad)
    assert seen or how in ("head", "table")  # places are in manifests: files are read without these


def test_without_the_option_nothing_comes_and_the_error_says_what_and_where(world: World, tmp_path: Path) -> None:
    with world.process() as store:
        (bundle,) = (
            each for each in bundles(store) if "big" in {entry.path for entry in each.ls()} and each.parents == ()
        )
        for key in packs(world):
            flip(world.primary, key)
        sound, bad = readable(bundle)
        assert sound and bad
        with pytest.raises(Corrupt) as failure:
            bundle.download(tmp_path / "out")
        assert not (tmp_path / "out").exists()
        partial = tmp_path / ".out.sheaf-partial"
        assert any(f"'{path}'" in failure.value.message for path in bad)
        assert "--skip-on-error" in failure.value.hint
        assert (str(partial) in failure.value.hint) == partial.exists()
        done = bundle.download(tmp_path / "out", skip_on_error=True)
        assert files_in(tmp_path / "out") == sound and {each.path for each in done.damaged} == bad
        assert not partial.exists()


def test_verify_reads_on_and_names_all(world: World) -> None:
    with world.process() as store:
        for key in packs(world):
            flip(world.primary, key)
        for bundle in bundles(store):
            _, bad = readable(bundle)
            if bad:
                with pytest.raises(Corrupt) as failure:
                    bundle.verify()
                assert all(f"'{path}'" in failure.value.message for path in bad)


def test_a_download_that_is_killed_while_it_moves_still_tells_what_is_damaged(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with world.process() as store:
        for key in packs(world):
            flip(world.primary, key)
        bundle = next(each for each in bundles(store) if readable(each)[1])
        sound, bad = readable(bundle)
        with monkeypatch.context() as patch:
            patch.setattr(Installation, "run", _killed)
            with pytest.raises(KeyboardInterrupt):
                bundle.download(tmp_path / "out", skip_on_error=True)
        done = bundle.download(tmp_path / "out")
        assert {each.path for each in done.damaged} == bad and all(each.reason for each in done.damaged)
        assert files_in(tmp_path / "out") == sound


def _killed(self: Installation) -> None:
    raise KeyboardInterrupt


def test_update_leaves_what_it_can_not_replace_and_brings_it_later(world: World, tmp_path: Path) -> None:
    whole = world.copy()
    with world.process(cache=tmp_path / "cache") as store:
        repo = store.repo("plates")
        old = repo.bundle("branch:main")
        with repo.edit(message="m") as edit:
            for n in range(3):
                edit.put(f"new{n}", bytes([n]) * 50_000 + b"x")
            edit.put("more", b"other")
            new = edit.commit()
        old.download(tmp_path / "out")
        (key,) = set(packs(world)) - set(packs(whole))
        data = world.primary.get(key)
        HARM["lost"](world.primary, key)
        before = files_in(tmp_path / "out")
        with pytest.raises(Corrupt, match="can't be read") as failure:
            new.update(tmp_path / "out")
        assert "bundle update --skip-on-error" in failure.value.hint and files_in(tmp_path / "out") == before
        done = new.update(tmp_path / "out", skip_on_error=True)
        assert [each.path for each in done.damaged] == ["more", "new0", "new1", "new2"]
        assert files_in(tmp_path / "out") == before
        world.primary.create(key, data)
        assert new.update(tmp_path / "out").damaged == []
        assert files_in(tmp_path / "out") == readable(new)[0]


# -- the command line --------------------------------------------------------------------------------------------------


@pytest.fixture
def bad(cli: Cli, tmp_path: Path) -> dict[str, Any]:  # noqa: F811
    """A store with one byte of 'b' flipped."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / name).write_bytes(name.encode() * 9)
    cli("store", "init", tmp_path / "store")
    cli("config", "set", "store", str(tmp_path / "store"))
    cli("repo", "create", "--repo", "faces")
    cli("bundle", "upload", "--repo", "faces", "--path", folder, "--message", "m")
    (pack,) = (path for path in (tmp_path / "store" / "packs").rglob("*") if path.is_file())
    data = pack.read_bytes()
    at = data.index(b"b" * 9)
    pack.chmod(0o600)
    pack.write_bytes(data[:at] + b"c" + data[at + 1 :])
    return {"good": {"a": b"a" * 9, "c": b"c" * 9}}


def test_commands_name_the_paths(cli: Cli, bad: dict[str, Any], tmp_path: Path) -> None:  # noqa: F811
    fetch = ("bundle", "download", "--repo", "faces", "--destination", tmp_path / "out")
    refused = cli(*fetch, code=6)
    assert "'b' can't be read" in refused.err and "--skip-on-error" in refused.err
    assert str(tmp_path / ".out.sheaf-partial") in refused.err
    done = cli("--json", *fetch, "--skip-on-error", code=11)
    assert files_in(tmp_path / "out") == bad["good"]
    assert done.object["files"] == 2 and [each["path"] for each in done.object["damaged"]] == ["b"]
    assert done.err.startswith("damaged b: ")
    again = cli("--json", "bundle", "update", "--repo", "faces", "--destination", tmp_path / "out", code=6)
    assert "'b'" in json.loads(again.err)["message"]
    verified = cli("--json", "bundle", "verify", "--repo", "faces", code=6)
    assert [each["path"] for each in verified.object["damaged"]] == ["b"] and not verified.object["unlisted"]
    assert "damaged b: " in verified.err


def test_a_check_names_the_files_and_what_can_be_done(cli: Cli, bad: dict[str, Any], tmp_path: Path) -> None:  # noqa: F811
    check = ("store", "check", "--read-data")
    bundle = json.loads(cli("--json", "bundle", "get", "--repo", "faces").out)["id"]
    said = cli(*check, code=6)
    assert f"  needed by faces@{bundle}:b" in said.lines
    assert "`sheaf bundle download --skip-on-error`" in said.err and "--from-replica" not in said.err
    (problem,) = cli("--json", *check, code=6).object["problems"]
    assert problem["needed_by"] == [f"faces@{bundle}:b"] and (problem["files"], problem["bundles"]) == (1, 1)
    cli("store", "replica", "add", tmp_path / "vault", code=None)
    assert "`sheaf store repair --from-replica --read-data`" in cli(*check, code=6).err
