"""All parameters of a sidecar of the kind ``postgres``, from flags, YAML and the environment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sheaf.errors import InvalidInput, SheafError
from sheaf.sidecar.command_lines import UploadCommand, check_id_files, check_labels
from sheaf.sidecar.coordination import POSTGRES, CoordinationFolders
from sheaf.sidecar.fuse_parameters import Given
from sheaf.sidecar.parameters import (
    CONFIG_VARIABLE,
    GLOBAL,
    IGNORED,
    behaviour_of,
    check_keys,
    coordination_folder_of,
    environment_options,
    flag_of,
    label_of,
    load_yaml,
    mapping,
    parse_options,
    renamed,
    required,
)
from sheaf.sidecar.supervision import Behaviour

__all__ = ["FORMS", "Database", "PostgresParameters", "read_postgres_parameters"]

FORMS: Final = ("raw", "dump")
_IGNORE_VERSION: Final = "ignorePGVersionMismatch"
_GLOBAL: Final = (*(key for key in GLOBAL if key != "cacheSize"), _IGNORE_VERSION)
_DATABASE: Final = (
    *("name", "dataDir", "pgPort", "owner", "srcRepo", "srcLabel", "srcBundle"),
    *("destRepo", "destLabel", "destMessage", "destForm", "destBundleID"),
)
#: Flags and variables of these apply to each of several databases.
_SHARED: Final = ("dataDir", "owner", "destForm")
_IGNORED_OF_DATABASE: Final = ("contributor",)
#: Datamon's short names of the same.
_SHORT_GLOBAL: Final = {"c": "coordPoint", "S": "sleepInsteadOfExit", "V": _IGNORE_VERSION}
_SHORT_DATABASE: Final = {
    "p": "pgPort",
    "m": "destMessage",
    "r": "destRepo",
    "l": "destLabel",
    "sr": "srcRepo",
    "sl": "srcLabel",
    "sb": "srcBundle",
}
_OPTIONS_VARIABLE: Final = "dm_pg_opts"
_DATABASE_VARIABLE: Final = "dm_pg_db_"
_DEFAULT_FOLDER: Final = "/pg_stage"
_DEFAULT_NAME: Final = "db"
_DEFAULT_OWNER: Final = "postgres"
_DEFAULT_PORT: Final = "5432"
_SECTIONS: Final = ("globalOpts", "database", "databases")
_DEFAULT_SLEEP: Final = "600"  # Datamon's, for its own forms: -s stays until it is terminated
_LARGEST_PORT: Final = 65_535

Options = dict[str, str]


@dataclass(frozen=True, slots=True)
class Database:
    """One server. ``source``: options of ``bundle download``, empty for a blank one. ``upload``: None if it is not saved."""

    name: str
    folder: Path
    port: int
    owner: str
    source: tuple[str, ...] = ()
    upload: UploadCommand | None = None
    saves_dump: bool = False

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.folder / self.name

    @property
    def dump(self) -> Path:
        """Where a dump is written before its upload."""
        return self.folder / f"{self.name}.dump"

    @property
    def downloaded(self) -> Path:
        """Where the source is downloaded to, since only its contents show its form."""
        return self.folder / f"{self.name}.source"


@dataclass(frozen=True, slots=True)
class PostgresParameters:
    """What a sidecar serves, and how. ``ignores_version``: a database of another major version starts blank."""

    folders: CoordinationFolders
    behaviour: Behaviour
    databases: tuple[Database, ...]
    ignores_version: bool = False


def read_postgres_parameters(given: Given, flags: Mapping[str, str]) -> PostgresParameters:
    """Read all parameters. ``flags``: those of the only database, by the names that YAML has.

    Raises InvalidInput and NotFound, and reports them in the coordination folders.
    """
    try:
        return _read(given, flags)
    except SheafError as error:
        CoordinationFolders(_likely_folders(given, flags), POSTGRES).fail(error)
        raise


def _read(given: Given, flags: Mapping[str, str]) -> PostgresParameters:
    options, described, has_folders = _described(given, flags)
    default = {"sleepTimeout": _DEFAULT_SLEEP} if has_folders and "sleepInsteadOfExit" not in given.flags else {}
    values = {**default, **environment_options(given.variables, _GLOBAL), **options, **given.flags}
    databases = tuple(_database(each, given.id_file) for each in described)
    _check(databases, given.id_file)
    top = coordination_folder_of(values)
    places = [top / database.name for database in databases] if has_folders else [top]
    folders = CoordinationFolders(places, POSTGRES)
    return PostgresParameters(folders, behaviour_of(values), databases, flag_of(values, _IGNORE_VERSION))


def _described(given: Given, flags: Mapping[str, str]) -> tuple[Options, list[Options], bool]:
    """Global options, the databases in YAML's names, and whether each has a coordination folder of its own."""
    for what, value in _yaml(given):
        return *_of_yaml(load_yaml(value, what, "globalOpts: and database:"), what, given.variables, flags), True
    if _OPTIONS_VARIABLE in given.variables:
        return *_of_serialized(given.variables, flags), False
    return {}, [_with_flags(_of_environment(given.variables), flags)], True


def _yaml(given: Given) -> Iterator[tuple[str, str]]:
    """The YAML that counts, if there is any, and what names it."""
    for what, value in (("--params", given.params), (CONFIG_VARIABLE, given.variables.get(CONFIG_VARIABLE))):
        if value:
            yield what, value
            return
    if _OPTIONS_VARIABLE not in given.variables and given.default_file.exists():
        yield "parameters", str(given.default_file)


def _of_yaml(
    found: Mapping[str, Any], what: str, variables: Mapping[str, str], flags: Mapping[str, str]
) -> tuple[Options, list[Options]]:
    found = _spelled(found, _SECTIONS, what)
    check_keys(found, _SECTIONS, (), what)
    ignored = (*IGNORED, "cacheSize")
    kept = mapping(_spelled(found.get("globalOpts"), (*_GLOBAL, *ignored), what), f"{what}: globalOpts", ignored)
    check_keys(kept, _GLOBAL, (), f"{what}: globalOpts")
    if "databases" not in found:
        one = _known(found.get("database"), f"{what}: database")
        return kept, [_with_flags({**_of_environment(variables), **one}, flags)]
    several = found["databases"]
    if not isinstance(several, list) or not several or "database" in found:
        raise InvalidInput(f"{what}: databases is not a list", "write one '- {name: …}' for each database")
    before, after = _shared_of(what, variables, flags)
    named = [_known(each, f"{what}: databases[{at}]") for at, each in enumerate(several)]
    return kept, [{**before, **each, **after} for each in named]


def _shared_of(what: str, variables: Mapping[str, str], flags: Mapping[str, str]) -> tuple[Options, Options]:
    """What variables and flags say of each of several databases."""
    if own := [key for key in flags if key not in _SHARED]:
        raise InvalidInput(
            f"{what}: it lists the databases, so a flag can't set {own[0]}", "set it there, or pass no list"
        )
    return {key: value for key, value in _of_environment(variables).items() if key in _SHARED}, dict(flags)


def _known(given: Any, what: str) -> Options:
    """The options of one database in YAML."""
    ignored = _IGNORED_OF_DATABASE
    options = mapping(_spelled(given, (*_DATABASE, *ignored), what), what, ignored)
    check_keys(options, _DATABASE, (), what)
    return _with_labels(options)


def _spelled(given: Any, known: Iterable[str], what: str) -> Any:
    """A mapping with its keys as they are spelled here: Datamon converts them to upper case."""
    if given is None or not isinstance(given, dict):
        return {} if given in (None, "") else given
    names = {name.lower(): name for name in known}
    found: dict[str, Any] = {}
    for key, value in given.items():
        name = names.get(str(key).lower(), str(key))
        if name in found:
            raise InvalidInput(f"{what}: {name} is set twice", "remove one of them")
        found[name] = value
    return found


def _with_labels(options: Options) -> Options:
    return {key: label_of(value) if key in ("srcLabel", "destLabel") else value for key, value in options.items()}


def _of_environment(variables: Mapping[str, str]) -> Options:
    found = ((key, variables.get(f"SIDECAR_DATABASE_{key.upper()}")) for key in _DATABASE)
    return _with_labels({key: value for key, value in found if value is not None})


def _with_flags(options: Options, flags: Mapping[str, str]) -> Options:
    """The options of the only database. Raises InvalidInput for a flag without effect, which YAML may have."""
    merged = {**options, **flags}
    for key in ("destLabel", "destMessage"):
        if flags.get(key) and not merged.get("destRepo"):
            where = f"database {merged.get('name') or _DEFAULT_NAME}"
            raise InvalidInput(f"{where}: destRepo is missing", f"set destRepo, or leave {key} out")
    return merged


def _of_serialized(variables: Mapping[str, str], flags: Mapping[str, str]) -> tuple[Options, list[Options]]:
    options = renamed(parse_options(variables[_OPTIONS_VARIABLE], _OPTIONS_VARIABLE), _SHORT_GLOBAL, _OPTIONS_VARIABLE)
    before, after = _shared_of(_OPTIONS_VARIABLE, variables, flags)
    databases = []
    for key in sorted(key for key in variables if key.startswith(_DATABASE_VARIABLE)):
        database = renamed(parse_options(variables[key], key), _SHORT_DATABASE, key)
        for needed in ("pgPort", "destMessage", "destRepo"):
            required(database, needed, key)
        if any(name.startswith("src") for name in database):
            required(database, "srcRepo", key)
            if not database.get("srcLabel") and not database.get("srcBundle"):
                raise InvalidInput(f"{key}: not exactly one of srcLabel and srcBundle", "set sl or sb")
        name = key.removeprefix(_DATABASE_VARIABLE)
        databases.append({"name": name, **before, **_with_labels(database), **after})
    if not databases:
        raise InvalidInput(f"{_OPTIONS_VARIABLE}: no database", f"set {_DATABASE_VARIABLE}NAME for each of them")
    return options, databases


def _database(options: Options, id_file: Path | None) -> Database:
    name = options.get("name") or _DEFAULT_NAME
    if name in (".", "..") or "/" in name:
        raise InvalidInput(f"database '{name}': not a name of a folder", "use letters and digits")
    where = f"database {name}"
    folder = Path(options.get("dataDir") or _DEFAULT_FOLDER).absolute()
    form = options.get("destForm") or FORMS[0]
    if form not in FORMS:
        raise InvalidInput(f"{where}: '{form}' is not a form", f"use {' or '.join(FORMS)}")
    found = Database(
        name,
        folder,
        _port(options.get("pgPort") or _DEFAULT_PORT, where),
        options.get("owner") or _DEFAULT_OWNER,
        _source(options, where),
        saves_dump=form == "dump",
    )
    upload = _upload(options, found.dump if found.saves_dump else found.data, id_file, where)
    return Database(found.name, found.folder, found.port, found.owner, found.source, upload, found.saves_dump)


def _port(text: str, where: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= _LARGEST_PORT):
        raise InvalidInput(f"{where}: '{text}' is not a port", f"use a number from 1 to {_LARGEST_PORT}")
    return int(text)


def _source(options: Options, where: str) -> tuple[str, ...]:
    label, id_ = options.get("srcLabel"), options.get("srcBundle")
    if not options.get("srcRepo"):
        if label or id_:
            raise InvalidInput(f"{where}: srcRepo is missing", "set srcRepo")
        return ()
    if label and id_:
        raise InvalidInput(f"{where}: both srcLabel and srcBundle", "set one of them")
    which = ("--label", label) if label else ("--bundle", id_) if id_ else ()
    return "--repo", options["srcRepo"], *map(str, which)


def _upload(options: Options, path: Path, id_file: Path | None, where: str) -> UploadCommand | None:
    if not options.get("destRepo"):  # as in Datamon, a message or a label alone does not save it
        return None
    repo, message, label = options["destRepo"], required(options, "destMessage", where), options.get("destLabel")
    words = ("bundle", "upload", "--path", str(path), "--message", message, "--repo", repo)
    named = options.get("destBundleID")
    ids = id_file or (Path(named) if named else None)
    return UploadCommand((*words, *(("--label", label) if label else ())), repo, ids)


def _check(databases: Sequence[Database], id_file: Path | None) -> None:
    """Raise InvalidInput for what can't work together."""
    _ensure_distinct((f"database {each.name}" for each in databases), "the name of two databases", "name each")
    _ensure_distinct((f"port {each.port}" for each in databases), "the port of two databases", "set pgPort of each")
    places = (str(path) for each in databases for path in (each.data, each.dump, each.downloaded))
    _ensure_distinct(places, "two databases would use this folder", "give one of them another name")
    uploads = [each.upload for each in databases if each.upload]
    if id_file is not None and len(uploads) != 1:
        raise InvalidInput(f"-i {id_file}: {len(uploads)} databases are saved", "-i requires exactly one")
    check_id_files(uploads)
    check_labels(uploads)


def _ensure_distinct(names: Iterable[str], what: str, hint: str) -> None:
    found = list(names)
    for name in found:
        if found.count(name) > 1:
            raise InvalidInput(f"{name}: {what}", hint)


def _likely_folders(given: Given, flags: Mapping[str, str]) -> set[Path]:
    """The coordination folders, read from parameters that may be wrong, so that the failure can be reported there."""
    options: Mapping[str, Any] = {}
    names = [flags.get("name") or given.variables.get("SIDECAR_DATABASE_NAME") or _DEFAULT_NAME]
    with suppress(SheafError, LookupError, TypeError, AttributeError):
        for what, value in _yaml(given):
            found = _spelled(load_yaml(value, what), _SECTIONS, what)
            options = _spelled(found.get("globalOpts"), GLOBAL, what)
            described = found.get("databases") or [found.get("database")]
            names = [str(_spelled(each, _DATABASE, what)["name"]) for each in described]
        if not options and _OPTIONS_VARIABLE in given.variables:
            options, names = {"coordPoint": parse_options(given.variables[_OPTIONS_VARIABLE], "")["c"]}, ["."]
    values = {**environment_options(given.variables), **options, **given.flags}
    top = Path(str(values.get("coordPoint") or "/tmp/coord"))  # the default of coordination_folder_of
    return {top / name for name in names if "/" not in name and name != ".."} or {top}
