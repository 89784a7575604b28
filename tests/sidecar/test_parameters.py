"""Every form of parameters that Datamon's guides have, and what is wrong with others."""

from __future__ import annotations

from pathlib import Path

import pytest

from sheaf.errors import InvalidInput, NotFound
from sheaf.sidecar.command_lines import FuseCommands, parse_commands, value_of
from sheaf.sidecar.parameters import (
    behaviour_of,
    cache_bytes_of,
    commands_of_environment,
    coordination_folder_of,
    environment_options,
    load_yaml,
    parse_options,
)

MOUNT = "bundle mount --repo ransom-datamon-test-repo --label testlabel --mount /tmp/mount --stream"
UPLOAD = 'bundle upload --path /tmp/upload --message "result of container coordination demo" --repo r --label coordemo'
YAML = """
globalOpts:
  sleepInsteadOfExit: false
  coordPoint: /tmp/coord
  configBucketName: datamon-config-test-sdjfhga
  contextName: datamon-sidecar-test
bundles:
  - name: src
    srcPath: /tmp/mount
    srcRepo: ransom-datamon-test-repo
    srcLabel: testlabel
    srcBundle: ""
  - name: dest
    destPath: /tmp/upload
    destRepo: ransom-datamon-test-repo
    destMessage: result of container coordination demo
    destLabel: coordemo
    destBundleID: /tmp/id
"""
SOURCE = (
    "bundle", "mount", "--stream", "--repo", "ransom-datamon-test-repo", "--label", "testlabel", "--mount", "/tmp/mount",
)  # fmt: skip
DESTINATION = (
    *("bundle", "upload", "--path", "/tmp/upload", "--message", "result of container coordination demo"),
    *("--repo", "ransom-datamon-test-repo", "--label", "coordemo"),
)


def test_commands_of_the_first_generation() -> None:
    config = "config create --name \"Coord\" --email 'coord-bot@example.org'"
    found = parse_commands([config, MOUNT, UPLOAD], Path("/tmp/bundleid.txt"))
    assert found.config == ("config", "create", "--name", "Coord", "--email", "coord-bot@example.org")
    assert [str(mount.mountpoint) for mount in found.mounts] == ["/tmp/mount"]
    (upload,) = found.uploads
    assert value_of(upload.words, "--message") == "result of container coordination demo"
    assert (upload.repo, upload.id_file) == ("r", Path("/tmp/bundleid.txt"))


@pytest.mark.parametrize(
    ("texts", "id_file", "message"),
    [
        (["repo create --repo r"], None, "only bundle and config commands supported."),
        (["bundle list --repo r"], None, "only bundle and config commands supported."),
        (["bundle mount new --repo r --mount m --message x"], None, "only bundle and config commands supported."),
        (["config create", "config create"], None, "more than one config command"),
        ([MOUNT], Path("id"), "there are 0 uploads"),
        ([UPLOAD, UPLOAD], Path("id"), "there are 2 uploads"),
        (["bundle mount --repo r"], None, "--mount is missing"),
        (["bundle upload --path p --message m"], None, "--repo is missing"),
        (["bundle upload --path p --repo r"], None, "--message is missing"),
        (["bundle upload 'open"], None, "no closing quotation"),
        ([""], None, "only bundle and config commands supported."),
    ],
)
def test_commands_that_can_not_be_run(texts: list[str], id_file: Path | None, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse_commands(texts, id_file)


@pytest.mark.parametrize("variable", ["dm_fuse_params", "SIDECAR_CONFIG", "--params"])
@pytest.mark.parametrize("is_file", [True, False])
def test_yaml_of_the_second_generation(tmp_path: Path, variable: str, is_file: bool) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(YAML)
    value = str(path) if is_file else YAML
    given = value if variable == "--params" else None
    options, found = commands_of_environment({} if given else {variable: value}, given)
    _check_second_generation(options, found)


@pytest.mark.parametrize("given", ["params.yaml", "conf/params.yaml", "./params.yaml"])
def test_a_file_may_be_named_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    (tmp_path / "conf").mkdir()
    for folder in (tmp_path, tmp_path / "conf"):
        (folder / "params.yaml").write_text(YAML)
    monkeypatch.chdir(tmp_path)
    _check_second_generation(*commands_of_environment({"dm_fuse_params": given}, None))
    with pytest.raises(NotFound, match=r"dm_fuse_params: file other\.yaml does not exist"):
        commands_of_environment({"dm_fuse_params": "other.yaml"}, None)


def test_what_datamon_needs_is_ignored_and_its_labels_have_spaces() -> None:
    yaml = """
globalOpts: {contributor: {name: Coord, email: coord-bot@example.org}, contextName: c}
bundles:
- {name: a, srcPath: /m, srcRepo: r, srcLabel: two words}
- {name: b, destPath: /n, destRepo: r, destMessage: m, destLabel: write only example}
"""
    options, found = commands_of_environment({"dm_fuse_params": yaml}, None)
    assert options == {}
    assert value_of(found.mounts[0].words, "--label") == "two-words"
    assert value_of(found.uploads[0].words, "--label") == "write-only-example"


def _check_second_generation(options: dict[str, str], found: FuseCommands) -> None:
    assert coordination_folder_of(options) == Path("/tmp/coord")
    assert not behaviour_of(options).stays
    assert [mount.words for mount in found.mounts] == [SOURCE]
    assert [upload.words for upload in found.uploads] == [DESTINATION]
    assert found.uploads[0].id_file == Path("/tmp/id")


def test_serialized_options_of_the_second_generation() -> None:
    variables = {
        "dm_fuse_opts": ";:c:/tmp/coord",
        "dm_fuse_bd_src": "01" + "0".join(["sp1/tmp/mount", "sr1ransom-datamon-test-repo", "sl1testlabel"]),
        "dm_fuse_bd_dest": "|=dp=/tmp/upload|dr=ransom-datamon-test-repo|dl=coordemo|dif=/tmp/id"
        "|dm=result of container coordination demo",
        "PATH": "/bin",
    }
    _check_second_generation(*commands_of_environment(variables, None))


def test_serialized_options() -> None:
    assert parse_options(";:a;b:c", "x") == {"a": "true", "b": "c"}
    assert parse_options(";:a:b:c", "x") == {"a": "b"}  # cut at the next separator, as upstream does
    for text in ("", ";", ";;a", ".:a", ";.a"):
        with pytest.raises(InvalidInput, match="does not begin with two separators"):
            parse_options(text, "x")


def test_values_stay_the_text_that_was_written() -> None:
    yaml = "bundles: [{name: a, srcPath: /m, srcRepo: 2019-11-05, srcLabel: 1.0}]"
    _, found = commands_of_environment({"dm_fuse_params": yaml}, None)
    assert value_of(found.mounts[0].words, "--label") == "1.0"
    assert value_of(found.mounts[0].words, "--repo") == "2019-11-05"


def test_global_options_come_from_the_environment_too_and_yaml_wins() -> None:
    variables = {
        "SIDECAR_GLOBALOPTS_COORDPOINT": "/other",
        "SIDECAR_GLOBALOPTS_SLEEPINSTEADOFEXIT": "true",
        "SIDECAR_GLOBALOPTS_SLEEPTIMEOUT": "600",
        "SIDECAR_GLOBALOPTS_POLLINTERVAL": "2",
        "SIDECAR_DATABASE_NAME": "db",
    }
    below = environment_options(variables)
    behaviour = behaviour_of(below)
    assert (behaviour.stays, behaviour.stay_s, behaviour.poll_s) == (True, 600, 2)
    assert coordination_folder_of(below) == Path("/other")
    options, _ = commands_of_environment({**variables, "dm_fuse_params": YAML}, None)
    assert coordination_folder_of({**below, **options}) == Path("/tmp/coord")
    assert not behaviour_of({**below, **options}).stays


def test_options_that_datamon_lacks() -> None:
    given = {
        "startTimeout": "5m",
        "runTimeout": "1d",
        "saveTimeout": "90",
        "lostTimeout": "0",
        "saveUnfinished": "true",
    }
    behaviour = behaviour_of(given)
    limits = behaviour.limits
    assert (limits.start, limits.run, limits.save, limits.lost) == (300, 86_400, 90, 0)
    assert behaviour.saves_unfinished
    assert cache_bytes_of({"cacheSize": "50MB"}) == 50 << 20


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("bundle: []", "unknown key 'bundle'"),
        ("globalOpts: {coordpoint: /x}", "unknown key 'coordpoint'"),
        ("bundles: [{name: a, srcPath: /m, srcrepo: r}]", "bundle a: unknown key 'srcrepo'"),
        ("bundles: [{name: a, srcPath: /m, srcRepo: r}]", "not exactly one of srcLabel and srcBundle"),
        ("bundles: [{name: a, srcPath: /m, srcRepo: r, srcLabel: l, srcBundle: b}]", "not exactly one of srcLabel"),
        ("bundles: [{name: a, srcPath: /m, srcRepo: r, destRepo: d}]", "not exactly one of source and destination"),
        ("bundles: [{name: a}]", "not exactly one of source and destination"),
        ("bundles: [{name: a, destPath: /m, destRepo: r}]", "destMessage is missing"),
        ("bundles: {a: b}", "bundles is not a list"),
        ("bundles: [a]", r"bundles\[0\]: not a mapping"),
        ("- a", "not a mapping"),
        ("a: [", "not valid YAML"),
    ],
)
def test_yaml_that_says_something_else(yaml: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        commands_of_environment({"dm_fuse_params": yaml}, None)


def test_parameters_that_are_not_there() -> None:
    with pytest.raises(InvalidInput, match="no parameters"):
        commands_of_environment({}, None)
    with pytest.raises(NotFound, match=r"file /nowhere/params\.yaml does not exist"):
        load_yaml("/nowhere/params.yaml", "dm_fuse_params")
    with pytest.raises(InvalidInput, match="coordination point not set"):
        coordination_folder_of({"coordPoint": ""})
    with pytest.raises(InvalidInput, match="saveTimeout: 'soon' is not a duration"):
        behaviour_of({"saveTimeout": "soon"})
    with pytest.raises(InvalidInput, match="saveUnfinished: 'maybe' is not true or false"):
        behaviour_of({"saveUnfinished": "maybe"})


def test_what_can_not_work_together(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="nothing to mount or upload"):
        FuseCommands().check()
    with pytest.raises(InvalidInput, match="/tmp/mount: two bundles are mounted there"):
        parse_commands([MOUNT, MOUNT]).check()
    there = tmp_path / "id"
    parse_commands([UPLOAD], there).check()
    there.touch()
    with pytest.raises(InvalidInput, match=f"bundle id file {there} already exists"):
        parse_commands([UPLOAD], there).check()
    with pytest.raises(InvalidInput, match="does not exist"):
        parse_commands([UPLOAD], tmp_path / "no" / "id").check()


def test_a_mount_that_is_started_again_is_of_the_same_bundle() -> None:
    (mount,) = parse_commands(["bundle mount --repo=r --label=l --mount=/m --cache-size 1M --daemonize"]).mounts
    assert mount.pinned("ID").words == (
        *("bundle", "mount", "--repo=r", "--mount=/m", "--cache-size", "1M", "--bundle", "ID"),
    )


def test_an_unfinished_upload_has_no_label_and_a_branch_of_its_own() -> None:
    (upload,) = parse_commands(["bundle upload --path p --repo r -m 'two words' --label=l --branch main"]).uploads
    words = upload.unfinished().words
    assert value_of(words, "--label") is None
    assert value_of(words, "--branch") == "unfinished"
    assert (value_of(words, "--message") or "").startswith("two words (unfinished")
    assert upload.unfinished().id_file is None
