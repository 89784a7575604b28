"""The commands of Datamon's guides, word for word, and what its scripts read."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cli.conftest import Cli
from tests.cli.data import BUNDLE_ID, TIME, make_folder, tree_of

from sheaf.repo.repo import Repo

#: As click says it, since 8.3 and before.
UNKNOWN = re.compile(r"No such option:? '?([a-z-]+)")


@pytest.fixture
def configured(datamon: Cli) -> Cli:
    """A user of the first generation, whose key file is long gone."""
    datamon(
        "config", "create", "--email", "ritesh@oneconcern.com", "--name", "Ritesh H Shukla",
        "--credential", "/path/key.json",
    )  # fmt: skip
    return datamon


def test_the_first_guide_runs(configured: Cli, tmp_path: Path) -> None:
    datamon, data = configured, make_folder(tmp_path / "data")
    repo = "ritesh-test-repo"
    using = f"Using config file: {datamon.home}/.datamon/datamon.yaml\n"

    result = datamon("repo", "create", "--description", "Ritesh's repo for testing", "--repo", repo)
    assert (result.out, result.err) == ("", f"{using}created a store at {datamon.home}/.local/share/sheaf/store\n")
    lines = datamon("repo", "list").lines
    line = rf"{repo} , Ritesh's repo for testing , Ritesh H Shukla , ritesh@oneconcern.com , {TIME}"
    assert re.fullmatch(line, lines[0])

    result = datamon(
        "bundle", "upload", "--path", data, "--message", "The initial commit for the repo",
        "--repo", repo, "--label", "init",
    )  # fmt: skip
    assert re.fullmatch(rf"Uploaded bundle id:{BUNDLE_ID}\nset label 'init'\n", result.out)
    assert result.err == using
    bundle = result.lines[0].removeprefix("Uploaded bundle id:")

    out = datamon("bundle", "list", "--repo", repo).out
    assert re.fullmatch(rf"{bundle} , {TIME} , The initial commit for the repo\n", out)
    assert re.fullmatch(rf"init , {bundle} , {TIME}\n", datamon("label", "list", "--repo", repo).out)
    assert datamon("label", "list", "--repo", repo, "--prefix", "x").out == ""

    for number, choice in enumerate((("--bundle", bundle), ("--label", "init"), ())):
        copy = tmp_path / f"copy{number}"
        out = datamon("bundle", "download", "--repo", repo, "--destination", copy, *choice).out
        assert out == f"Using bundle: {bundle}\n"
        assert {path: what for path, what in tree_of(copy).items() if not path.startswith(".datamon")} == tree_of(data)

    lines = datamon("bundle", "list", "files", "--repo", repo, "--bundle", bundle).lines
    assert lines[0] == f"Using bundle: {bundle}"
    assert all(re.fullmatch(r"name:.*, size:\d+, hash:[0-9a-f]{64}", line) for line in lines[1:])
    out = datamon(
        "bundle", "download", "file", "--file", "train/1.jpg", "--repo", repo, "--bundle", bundle,
        "--destination", tmp_path / "one",
    ).out  # fmt: skip
    assert out == f"Using bundle: {bundle}\n"
    (tmp_path / "one/train/1.jpg").write_text("edited")  # upstream overwrites nothing either
    datamon(
        "bundle", "download", "file", "--file", "train/1.jpg", "--repo", repo, "--destination", tmp_path / "one", code=1
    )
    assert (tmp_path / "one/train/1.jpg").read_text() == "edited"

    assert datamon("label", "set", "--repo", repo, "--label", "anotherlabel", "--bundle", bundle).out == ""
    assert len(datamon("label", "list", "--repo", repo).lines) == 2
    assert datamon("version").lines[0].startswith("Version: ")


def test_the_files_of_the_first_generation(configured: Cli) -> None:
    path = configured.home / ".datamon/datamon.yaml"
    assert yaml.safe_load(path.read_text()) == {
        "metadata": "datamon-meta-data",
        "blob": "datamon-blob-data",
        "name": "Ritesh H Shukla",
        "email": "ritesh@oneconcern.com",
        "credential": "/path/key.json",
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "metadata: datamon-meta-data" in configured("config", "get").lines


def test_the_second_generation_has_its_own_file_and_contexts(datamon: Cli) -> None:
    path = datamon.home / ".datamon2/datamon.yaml"
    assert datamon("config", "set", "--config", "bucket", "--context", "dev").out == f"config file created in {path}\n"
    assert yaml.safe_load(path.read_text()) == {"context": "dev", "config": "bucket"}
    assert datamon("repo", "list", "--context", "dev", "--skip-auth", "--loglevel", "debug").out == ""
    buckets = ("--meta", "m", "--vmeta", "v", "--blob", "b", "--wal", "w", "--read-log", "r")
    datamon("context", "create", "--context", "dev", *buckets)
    datamon("context", "create", "--context", "dev", *buckets, code=1)
    out = datamon("context", "get", "--context", "dev").out
    assert out == "Model Version: 0, Name: dev, WAL: w, ReadLog: r, Blob: b, Metadata: m, Version Metadata: v\n"
    assert 'didn\'t find context "prod"' in datamon("context", "get", "--context", "prod", code=2).err
    datamon("context", "create", "--context", "prod", *buckets)
    assert datamon("context", "list").out == "[dev prod]\n"
    datamon("repo", "list", "--context", "nope", code=2)


def test_a_context_with_a_store_leads_there(datamon: Cli, cli: Cli, tmp_path: Path) -> None:
    cli("store", "init", tmp_path / "prod")
    datamon("context", "create", "--context", "prod", "--store", tmp_path / "prod")
    datamon.variables["DATAMON_CONTEXT"] = "prod"
    datamon("repo", "create", "--repo", "there", "--description", "d")
    assert cli("ls", "--store", tmp_path / "prod").out == "there\n"
    assert cli("ls").out == ""


def test_both_programs_use_one_store(configured: Cli, cli: Cli, tmp_path: Path) -> None:
    configured("repo", "create", "--repo", "r", "--description", "d")
    assert cli("ls").out == "r\n"
    cli("config", "set", "store", tmp_path / "mine")
    cli("store", "init")
    cli("repo", "create", "--repo", "elsewhere")
    assert configured("repo", "list", "--format", "{{.Name}}").out == "elsewhere\n"


def test_the_environment_names_the_file(datamon: Cli, tmp_path: Path) -> None:
    datamon.variables["DATAMON_CONFIG"] = str(tmp_path / "d.yaml")
    datamon("config", "set", "--name", "N")
    assert yaml.safe_load((tmp_path / "d.yaml").read_text()) == {"name": "N"}
    assert datamon("repo", "list").err.startswith(f"Using config file: {tmp_path}/d.yaml\nno store exists yet at ")


def test_exit_codes(configured: Cli, tmp_path: Path) -> None:
    configured("repo", "get", "--repo", "nope", code=2)
    configured("repo", "create", "--repo", "r")
    configured("repo", "create", "--repo", "r", code=1)
    configured("bundle", "get", "--repo", "r", "--bundle", "nope", code=2)
    configured("label", "get", "--repo", "r", "--label", "nope", code=2)
    configured("bundle", "upload", "--repo", "r", code=1)
    configured("bundle", "upload", "--repo", "r", "--path", tmp_path / "nope", "--message", "m", code=2)


def test_flags_of_both_generations_are_taken(configured: Cli, tmp_path: Path) -> None:
    data = make_folder(tmp_path / "data")
    configured("repo", "create", "--repo", "r", "--description", "d", "--name", "x", "--email", "y")
    configured("repo", "list", "--concurrency-factor", "500", "--batch-size", "1024", "--with-size")
    upload = ("bundle", "upload", "--repo", "r", "--path", data, "--message", "m")
    configured(*upload, "--concurrency-factor", "7", "--skip-on-error=false", "--retry=false", "--verify-hash=true")
    configured("bundle", "download", "--repo", "r", "--destination", tmp_path / "c", "--verify-hash", "--force-dest")
    configured("bundle", "diff", "--repo", "r", "--destination", tmp_path / "c", "--concurrency-factor", "100")
    configured("label", "list", "--repo", "r", "--metrics=false")


def test_options_that_sheaf_has_renamed_keep_their_names(configured: Cli, cli: Cli, tmp_path: Path) -> None:
    data, copy = make_folder(tmp_path / "data"), tmp_path / "copy"
    configured("repo", "create", "--repo", "r")
    configured("bundle", "upload", "--repo", "r", "--path", data, "--message", "m")
    download, squash = ("bundle", "download", "--repo", "r", "--destination", copy), ("repo", "squash", "--repo", "r")
    configured(*download)
    (copy / "new").write_text("new")
    assert "INFO: choose an empty folder, or pass --force-dest\n" in configured(*download, code=1).err
    assert "or pass --overwrite" in cli(*download, code=5).err
    configured(*download, "--force-dest", "--concurrency-factor", "1")
    cli(*download, "--overwrite", "-j", "1")
    configured(*squash, "--retain-n-latest", "1", "--force-yes")
    cli(*squash, "--keep-last", "1", "--yes")
    for option in ("--concurrency-factor=5", "--force-dest", "--retain-n-latest=1", "--force-yes", "--set-aside"):
        for verb in (download, squash, ("store", "repair")):
            assert UNKNOWN.findall(cli(*verb, option, code=2).err) == [option.partition("=")[0]]
    for option in ("--jobs=5", "--overwrite", "--keep-last=1", "--yes"):
        for verb in (download, squash):
            assert UNKNOWN.findall(configured(*verb, option, code=1).err) == [option.partition("=")[0]]
    shown = configured(*squash, "--help").out
    assert "repo squash --repo faces --retain-n-latest 2 --retain-tags --force-yes\n" in shown
    assert "-y, --force-yes" in shown and "--keep-last" not in shown


@pytest.mark.parametrize(("factor", "jobs"), [("1", 1), ("9", 1), ("10", 2), ("500", 100)])
def test_the_concurrency_factor_is_a_fifth_of_jobs(
    configured: Cli, cli: Cli, factor: str, jobs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int | None] = []
    real = Repo.upload

    def upload_of(self: Repo, *args: Any, **options: Any) -> Any:
        asked.append(options["concurrency"])
        return real(self, *args, **options)

    monkeypatch.setattr(Repo, "upload", upload_of)
    configured("repo", "create", "--repo", "r")
    command = ("bundle", "upload", "--repo", "r", "--path", make_folder(tmp_path / "data"), "--message", "m")
    configured(*command, "--concurrency-factor", factor)
    cli(*command, "--jobs", factor)
    assert asked == [jobs, int(factor)]


def test_templates_fill_plain_fields(configured: Cli, tmp_path: Path) -> None:
    configured("repo", "create", "--repo", "r", "--description", "d")
    data = make_folder(tmp_path / "data")
    upload = ("bundle", "upload", "--repo", "r", "--path", data, "--message", "m", "--label", "l")
    assert re.fullmatch(rf"{BUNDLE_ID}\n", configured(*upload, "--format", "{{.BundleID}}").out)
    out = configured("bundle", "list", "--repo", "r", "--format", "{{ .Message }}/{{.ID}}").out
    assert re.fullmatch(rf"m/{BUNDLE_ID}\n", out)
    assert "Using bundle" not in configured("bundle", "get", "--repo", "r", "--format", "{{.ID}}").out
    assert configured("repo", "get", "--repo", "r", "--format", "{{.Contributor.Name}}").out == "Ritesh H Shukla\n"
    assert "{{if .X}}" in configured("repo", "list", "--format", "{{if .X}}", code=1).err
    assert ".Nope" in configured("repo", "list", "--format", "{{.Nope}}", code=1).err


def test_a_download_leaves_datamons_traces_and_uploads_never_take_them_in(configured: Cli, tmp_path: Path) -> None:
    data = make_folder(tmp_path / "data")
    configured("repo", "create", "--repo", "r", "--description", "d")
    first = configured("bundle", "upload", "--repo", "r", "--path", data, "--message", "m").lines[0].split(":")[1]
    copy = tmp_path / "copy"
    configured("bundle", "download", "--repo", "r", "--destination", copy)
    descriptor = yaml.safe_load((copy / f".datamon/{first}.yaml").read_text())
    assert (descriptor["id"], descriptor["message"], descriptor["count"]) == (first, "m", 1)
    assert descriptor["contributors"] == [{"name": "Ritesh H Shukla", "email": "ritesh@oneconcern.com"}]
    (files,) = copy.glob(f".datamon/{first}-bundle-files-*.yaml")
    entries = yaml.safe_load(files.read_text())["BundleEntries"]
    assert {entry["name"] for entry in entries} == {
        "labels.csv", "odd\nname", "run.sh", "train/1.jpg", "train/deep/ünï.txt",
    }  # fmt: skip
    assert configured("bundle", "diff", "--repo", "r", "--destination", copy).out == f"Using bundle: {first}\n"
    (data / "new").write_text("new")
    second = configured("bundle", "upload", "--repo", "r", "--path", data, "--message", "m").lines[0].split(":")[1]
    configured("bundle", "update", "--repo", "r", "--destination", copy)
    assert {path.name.split("-")[0].split(".")[0] for path in (copy / ".datamon").iterdir()} == {second}
    configured("bundle", "upload", "--repo", "r", "--path", copy, "--message", "m")
    assert ".datamon" not in configured("bundle", "list", "files", "--repo", "r").out


def test_without_a_choice_the_newest_bundle_of_any_branch_counts(configured: Cli, cli: Cli, tmp_path: Path) -> None:
    data = make_folder(tmp_path / "data")
    upload = ("bundle", "upload", "--repo", "r", "--path", data, "--message", "m")
    configured("repo", "create", "--repo", "r")
    configured(*upload)
    newest = configured(*upload, "--branch", "dev").lines[0].removeprefix("Uploaded bundle id:")
    assert configured("bundle", "get", "--repo", "r").lines[0] == f"Using bundle: {newest}"
    copy = tmp_path / "copy"
    assert configured("bundle", "download", "--repo", "r", "--destination", copy).out == f"Using bundle: {newest}\n"


def test_what_is_skipped_is_no_failure(configured: Cli, tmp_path: Path) -> None:
    import os

    data = make_folder(tmp_path / "data")
    os.mkfifo(data / "pipe")
    configured("repo", "create", "--repo", "r", "--description", "d")
    result = configured("bundle", "upload", "--repo", "r", "--path", data, "--message", "m", "--skip-on-error")
    assert "skipped pipe" in result.err


def test_prompts_before_what_cannot_be_undone(configured: Cli) -> None:
    configured("repo", "create", "--repo", "r", "--description", "d")
    assert "user aborted" in configured("repo", "delete", "--repo", "r", stdin="no\n", code=1).err
    configured("repo", "rename", "--repo", "r", "s", stdin="yes\n")
    configured("repo", "delete", "--repo", "s", "--force-yes", "--context", "dev")
