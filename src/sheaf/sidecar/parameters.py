"""Parameters of a sidecar in all their forms: YAML, Datamon's serialized options, ``SIDECAR_*`` variables.

All forms become the same two values: global options by the names that YAML has (``coordPoint``, …), and the commands to
run. Precedence: flag > YAML or serialized options > environment > default.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from sheaf.errors import InvalidInput, NotFound, SheafError
from sheaf.settings.durations import parse_duration
from sheaf.settings.sizes import parse_size
from sheaf.sidecar.command_lines import FuseCommands, MountCommand, UploadCommand
from sheaf.sidecar.protocol import TimeLimits
from sheaf.sidecar.supervision import Behaviour

__all__ = [
    "CONFIG_VARIABLE",
    "GLOBAL",
    "IGNORED",
    "behaviour_of",
    "cache_bytes_of",
    "check_keys",
    "commands_of_bundles",
    "commands_of_environment",
    "coordination_folder_of",
    "environment_options",
    "flag_of",
    "label_of",
    "likely_folder",
    "load_yaml",
    "mapping",
    "parse_options",
    "renamed",
    "required",
]

Options = dict[str, str]

#: Global options of YAML; those of ``SIDECAR_GLOBALOPTS_*`` are the same in upper case.
GLOBAL: Final = (
    "coordPoint",
    "sleepInsteadOfExit",
    "sleepTimeout",
    "pollInterval",
    "startTimeout",
    "runTimeout",
    "saveTimeout",
    "lostTimeout",
    "saveUnfinished",
    "cacheSize",
)
#: What Datamon's YAML has, and Sheaf does not need.
IGNORED: Final = ("configBucketName", "contextName", "contributor")
_BUNDLE: Final = (
    *("name", "srcPath", "srcRepo", "srcLabel", "srcBundle"),
    *("destPath", "destRepo", "destMessage", "destLabel", "destBundleID"),
)
#: Datamon's short names of the same.
_SHORT_GLOBAL: Final = {"c": "coordPoint", "S": "sleepInsteadOfExit", "b": "configBucketName", "a": "contextName"}
_SHORT_BUNDLE: Final = {
    "sp": "srcPath",
    "sr": "srcRepo",
    "sl": "srcLabel",
    "sb": "srcBundle",
    "dp": "destPath",
    "dr": "destRepo",
    "dm": "destMessage",
    "dl": "destLabel",
    "dif": "destBundleID",
}
_BOOLEANS: Final = {"true": True, "1": True, "yes": True, "": False, "false": False, "0": False, "no": False}
_DEFAULT_FOLDER: Final = "/tmp/coord"
_DEFAULT_CACHE: Final = "128M"
_OPTIONS_VARIABLE: Final = "dm_fuse_opts"
_BUNDLE_VARIABLE: Final = "dm_fuse_bd_"
_PARAMETERS_VARIABLE: Final = "dm_fuse_params"
CONFIG_VARIABLE: Final = "SIDECAR_CONFIG"
#: Variables that Datamon's guide spells in another way than its script, which counts if both are set.
_IN_GUIDE: Final = {"coordPoint": "COORD_POINT"}


def load_yaml(given: str, what: str, sections: str = "globalOpts: and bundles:") -> dict[str, Any]:
    """Parameters from the path of a YAML file, or from YAML itself; all values are text. ``what`` names it in errors."""
    found: Any = None
    where = what
    if not _begins_like_a_path(given):
        found = _parsed(given, what)
    if found is None or (isinstance(found, str) and "\n" not in found):  # a single word is the name of a file
        path = Path(given.strip()).expanduser()
        where = f"{what} ({path})"
        found = _parsed(_contents(path, what), where)
    if not isinstance(found, dict):
        raise InvalidInput(f"{where}: not a mapping", f"write {sections}")
    return found


def _begins_like_a_path(given: str) -> bool:
    return "\n" not in given and given.strip().startswith(("/", "./", "../", "~"))


def _parsed(text: str, where: str) -> Any:
    import yaml  # here, since start-up counts

    try:
        return yaml.load(text, Loader=yaml.BaseLoader)  # text only: a label 1.0 stays "1.0"
    except yaml.YAMLError as error:
        raise InvalidInput(f"{where}: not valid YAML: {' '.join(str(error).split())}", "correct it") from None


def _contents(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(f"{what}: file {path} does not exist", "name a YAML file, or write the YAML itself") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{what} ({path}): {error}", "name a readable YAML file") from None


def parse_options(text: str, what: str) -> Options:
    """Parse Datamon's serialized options: ``;:a;b:c`` is a without and b with a value; an option without one is true.

    The first character separates options, the second a name from its value.
    """
    if len(text) < 2 or text[0] == text[1] or "." in text[:2]:
        hint = "begin with two separators, such as ';:c;/tmp/coord'"
        raise InvalidInput(f"{what}: '{text}' does not begin with two separators", hint)
    items = (item.split(text[1]) for item in text[2:].split(text[0]) if item)
    return {item[0]: item[1] if len(item) > 1 else "true" for item in items}


def environment_options(variables: Mapping[str, str], keys: Iterable[str] = GLOBAL) -> Options:
    """Global options that are set as ``SIDECAR_GLOBALOPTS_*``."""
    prefix = "SIDECAR_GLOBALOPTS_"
    spelled = {variable: key for key in keys for variable in (_IN_GUIDE.get(key, ""), key.upper())}
    return {key: variables[prefix + name] for name, key in spelled.items() if name and prefix + name in variables}


def commands_of_environment(variables: Mapping[str, str], given: str | None) -> tuple[Options, FuseCommands]:
    """Options and commands of ``--params``, ``dm_fuse_params``, ``SIDECAR_CONFIG`` or ``dm_fuse_opts``; the first counts.

    Raises InvalidInput, and NotFound for a file that does not exist.
    """
    for what, value in (
        ("--params", given),
        (_PARAMETERS_VARIABLE, variables.get(_PARAMETERS_VARIABLE)),
        (CONFIG_VARIABLE, variables.get(CONFIG_VARIABLE)),
    ):
        if value:
            return _of_yaml(load_yaml(value, what), what)
    if _OPTIONS_VARIABLE in variables:
        return _of_serialized(variables)
    hint = "pass -d COMMAND, or set dm_fuse_params to a YAML file or to YAML"
    raise InvalidInput("sidecar: no parameters", hint)


def _of_yaml(found: Mapping[str, Any], what: str) -> tuple[Options, FuseCommands]:
    check_keys(found, ("globalOpts", "bundles"), (), what)
    options = mapping(found.get("globalOpts") or {}, f"{what}: globalOpts", IGNORED)
    check_keys(options, GLOBAL, (), f"{what}: globalOpts")
    bundles = found.get("bundles") or []
    if not isinstance(bundles, list):
        raise InvalidInput(f"{what}: bundles is not a list", "write one '- {name: …}' for each bundle")
    named = [mapping(each, f"{what}: bundles[{at}]") for at, each in enumerate(bundles)]
    return options, commands_of_bundles(named, what)


def _of_serialized(variables: Mapping[str, str]) -> tuple[Options, FuseCommands]:
    given = parse_options(variables[_OPTIONS_VARIABLE], _OPTIONS_VARIABLE)
    options = renamed(given, _SHORT_GLOBAL, _OPTIONS_VARIABLE)
    bundles = [
        {"name": key.removeprefix(_BUNDLE_VARIABLE), **renamed(parse_options(value, key), _SHORT_BUNDLE, key)}
        for key, value in sorted(variables.items())
        if key.startswith(_BUNDLE_VARIABLE)
    ]
    known = {key: value for key, value in options.items() if key in GLOBAL}
    return known, commands_of_bundles(bundles, _BUNDLE_VARIABLE)


def renamed(options: Options, names: Mapping[str, str], what: str) -> Options:
    """The options by the names that YAML has. Raises InvalidInput for unknown ones."""
    check_keys(options, names, (), what)
    return {names[key]: value for key, value in options.items()}


def mapping(value: Any, what: str, ignored: Iterable[str] = ()) -> Options:
    """The value as a mapping of texts, without what is ignored. Raises InvalidInput if it is something else."""
    kept = {key: each for key, each in value.items() if key not in ignored} if isinstance(value, dict) else None
    if kept is None or any(not isinstance(each, str) for each in kept.values()):
        raise InvalidInput(f"{what}: not a mapping of names to values", "write it as NAME: VALUE")
    return kept


def label_of(text: str) -> str:
    """The name of a label: Datamon's labels may contain spaces, as those in its guide do."""
    return "-".join(text.split())


def check_keys(found: Iterable[str], known: Iterable[str], ignored: Sequence[str], what: str) -> None:
    """Raise InvalidInput for an unknown key."""
    known = tuple(known)
    for key in found:
        if key not in known and key not in ignored:
            near = difflib.get_close_matches(str(key), known, 1)
            all_known = f"known: {', '.join(known)}"
            raise InvalidInput(
                f"{what}: unknown key '{key}'", f"did you mean {near[0]}? {all_known}" if near else all_known
            )


def commands_of_bundles(bundles: Sequence[Options], what: str) -> FuseCommands:
    """The commands for bundles in YAML's names: each is either a source to mount or a destination to upload to."""
    mounts: list[MountCommand] = []
    uploads: list[UploadCommand] = []
    for at, bundle in enumerate(bundles):
        where = f"{what}: bundle {bundle.get('name') or at}"
        check_keys(bundle, _BUNDLE, (), where)
        set_ = {key for key, value in bundle.items() if value and key != "name"}
        if not set_ or {key[:3] for key in set_} not in ({"src"}, {"des"}):
            raise InvalidInput(f"{where}: not exactly one of source and destination", "set src… or dest…, not both")
        if any(key.startswith("src") for key in set_):
            mounts.append(_source(bundle, where))
        else:
            uploads.append(_destination(bundle, where))
    return FuseCommands((), tuple(mounts), tuple(uploads))


def _source(bundle: Options, where: str) -> MountCommand:
    path, repo = required(bundle, "srcPath", where), required(bundle, "srcRepo", where)
    label, id_ = bundle.get("srcLabel"), bundle.get("srcBundle")
    if bool(label) == bool(id_):
        raise InvalidInput(f"{where}: not exactly one of srcLabel and srcBundle", "set one of them")
    which = ("--label", label_of(label)) if label else ("--bundle", id_)
    words = ("bundle", "mount", "--stream", "--repo", repo, *map(str, which), "--mount", path)
    return MountCommand(words, Path(path))


def _destination(bundle: Options, where: str) -> UploadCommand:
    path, repo = required(bundle, "destPath", where), required(bundle, "destRepo", where)
    message, label = required(bundle, "destMessage", where), bundle.get("destLabel")
    words = ("bundle", "upload", "--path", path, "--message", message, "--repo", repo)
    id_file = bundle.get("destBundleID")
    return UploadCommand(
        (*words, *(("--label", label_of(label)) if label else ())), repo, Path(id_file) if id_file else None
    )


def required(bundle: Options, key: str, where: str) -> str:
    """The value of a key. Raises InvalidInput if it is missing or empty."""
    if not bundle.get(key):
        raise InvalidInput(f"{where}: {key} is missing", f"set {key}")
    return bundle[key]


def likely_folder(variables: Mapping[str, str], params: str | None, flags: Options) -> Path:
    """The coordination folder, read from parameters that may be wrong, so that the failure can be reported there."""
    found = environment_options(variables).get("coordPoint", _DEFAULT_FOLDER)
    given = [params, variables.get(_PARAMETERS_VARIABLE), variables.get(CONFIG_VARIABLE)]
    with suppress(SheafError, LookupError, TypeError):
        if value := next(filter(None, given), None):
            found = str(load_yaml(value, "")["globalOpts"]["coordPoint"])
        elif _OPTIONS_VARIABLE in variables:
            found = parse_options(variables[_OPTIONS_VARIABLE], "")["c"]
    return Path(flags.get("coordPoint", found))


def coordination_folder_of(options: Options) -> Path:
    """The coordination folder. Raises InvalidInput if it is empty."""
    given = options.get("coordPoint", _DEFAULT_FOLDER)
    if not given:
        raise InvalidInput("coordination point not set", "pass -c DIR")
    return Path(given)


def behaviour_of(options: Options) -> Behaviour:
    """How the sidecar behaves. Raises InvalidInput for an invalid value, by its name."""
    default = TimeLimits()
    limits = TimeLimits(
        start=_seconds(options, "startTimeout", default.start),
        run=_seconds(options, "runTimeout", default.run),
        save=_seconds(options, "saveTimeout", default.save),
        lost=_seconds(options, "lostTimeout", default.lost),
    )
    return Behaviour(
        limits=limits,
        poll_s=max(0.01, _seconds(options, "pollInterval", 1.0)),
        saves_unfinished=flag_of(options, "saveUnfinished"),
        stays=flag_of(options, "sleepInsteadOfExit"),
        stay_s=_seconds(options, "sleepTimeout", 0),
    )


def cache_bytes_of(options: Options) -> int:
    """Memory that all mounts together may use for cached data, in bytes."""
    return parse_size(options.get("cacheSize", _DEFAULT_CACHE))


def _seconds(options: Options, key: str, default: float) -> float:
    if key not in options:
        return default
    try:
        return parse_duration(options[key])
    except InvalidInput as error:
        raise InvalidInput(f"{key}: {error.message}", error.hint) from None


def flag_of(options: Options, key: str) -> bool:
    """Whether an option is set. Raises InvalidInput for a value that is not true or false."""
    value = options.get(key, "false")
    if value.lower() not in _BOOLEANS:
        raise InvalidInput(f"{key}: '{value}' is not true or false", f"set {key} to true or false")
    return _BOOLEANS[value.lower()]
