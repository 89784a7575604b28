"""The tree of verbs of ``sheaf``. Modules load when their verb is used."""

from __future__ import annotations

from typing import Final

from sheaf.cli.app import Dialect
from sheaf.cli.exits import EXITS, PARTIAL
from sheaf.cli.options import GLOBAL_OPTIONS, global_option
from sheaf.cli.tree import Tree
from sheaf.settings.settings import read_sheaf

__all__ = ["NOUNS", "SHEAF", "VERBS", "sheaf"]

NOUNS: Final[dict[str, str]] = {
    "branch": "Manage branches, which move to each new bundle.",
    "bundle": "Manage bundles: immutable views of a folder.",
    "cache": "Manage the local cache (safe to delete).",
    "config": "Manage the configuration file.",
    "context": "Manage contexts: named sets of settings.",
    "diamond": "Fill one bundle from many machines.",
    "label": "Manage labels; 'sheaf label REPO@REF LABEL' sets one.",
    "repo": "Manage repos (datasets).",
    "store": "Manage a store: check, clean up, repair, replicate.",
}

VERBS: Final[dict[str, str]] = {
    "branch create": "sheaf.cli.branch:create",
    "branch delete": "sheaf.cli.branch:delete",
    "branch get": "sheaf.cli.branch:get",
    "branch list": "sheaf.cli.branch:list_",
    "branch set": "sheaf.cli.branch:set_",
    "bundle commit": "sheaf.cli.mount_new:commit",
    "bundle delete": "sheaf.cli.gc:delete_bundle",
    "bundle diff": "sheaf.cli.bundle:diff",
    "bundle download": "sheaf.cli.bundle:download",
    "bundle download file": "sheaf.cli.bundle:download_file",
    "bundle get": "sheaf.cli.bundle:get",
    "bundle list": "sheaf.cli.bundle:list_",
    "bundle list files": "sheaf.cli.bundle:list_files",
    "bundle mount": "sheaf.cli.mount:mount",
    "bundle mount new": "sheaf.cli.mount_new:mount_new",
    "bundle undelete": "sheaf.cli.gc:undelete_bundle",
    "bundle update": "sheaf.cli.bundle:update",
    "bundle upload": "sheaf.cli.upload:upload",
    "bundle verify": "sheaf.cli.bundle:verify",
    "cache clear": "sheaf.cli.cache:clear",
    "cache info": "sheaf.cli.cache:info",
    "cache limit": "sheaf.cli.cache:limit",
    "cat": "sheaf.cli.short:cat",
    "completion": "sheaf.cli.completion:completion",
    "config create": "sheaf.cli.config:create",
    "config get": "sheaf.cli.config:get",
    "config set": "sheaf.cli.config:set_",
    "config unset": "sheaf.cli.config:unset",
    "context create": "sheaf.cli.context:create",
    "context get": "sheaf.cli.context:get",
    "context list": "sheaf.cli.context:list_",
    "context use": "sheaf.cli.context:use",
    "cp": "sheaf.cli.copy:cp",
    "diamond cancel": "sheaf.cli.diamond:cancel",
    "diamond commit": "sheaf.cli.diamond:commit",
    "diamond get": "sheaf.cli.diamond:get",
    "diamond initialize": "sheaf.cli.diamond:initialize",
    "diamond list": "sheaf.cli.diamond:list_",
    "diamond split add": "sheaf.cli.diamond:split_add",
    "diamond split get": "sheaf.cli.diamond:split_get",
    "diamond split list": "sheaf.cli.diamond:split_list",
    "diff": "sheaf.cli.diff:diff",
    "find": "sheaf.cli.find:find",
    "download": "sheaf.cli.shortcut:DOWNLOAD",
    "label": "sheaf.cli.shortcut:LABEL",
    "label delete": "sheaf.cli.label:delete",
    "label get": "sheaf.cli.label:get",
    "label list": "sheaf.cli.label:list_",
    "label set": "sheaf.cli.label:set_",
    "log": "sheaf.cli.short:log",
    "ls": "sheaf.cli.short:ls",
    "repo create": "sheaf.cli.repo:create",
    "repo delete": "sheaf.cli.repo:delete",
    "repo get": "sheaf.cli.repo:get",
    "repo list": "sheaf.cli.repo:list_",
    "repo mount": "sheaf.cli.mount:mount_repo",
    "repo pull": "sheaf.cli.push:pull",
    "repo push": "sheaf.cli.push:push",
    "repo rename": "sheaf.cli.repo:rename",
    "repo squash": "sheaf.cli.gc:squash",
    "repo undelete": "sheaf.cli.gc:undelete_repo",
    "store check": "sheaf.cli.store:check",
    "store erase": "sheaf.cli.erase:erase",
    "store erased": "sheaf.cli.erase:erased",
    "store gc": "sheaf.cli.gc:gc",
    "store info": "sheaf.cli.store:info",
    "store init": "sheaf.cli.store:init",
    "store key add": "sheaf.cli.key:add",
    "store key list": "sheaf.cli.key:list_",
    "store key remove": "sheaf.cli.key:remove",
    "store key rotate": "sheaf.cli.key:rotate",
    "store mount": "sheaf.cli.mount:mount_store",
    "store promote": "sheaf.cli.replica:promote",
    "store repair": "sheaf.cli.repair:repair",
    "store replica add": "sheaf.cli.replica:add",
    "store replica list": "sheaf.cli.replica:list_",
    "store replica policy": "sheaf.cli.replica:policy",
    "store replica remove": "sheaf.cli.replica:remove",
    "store replicate": "sheaf.cli.replica:replicate",
    "store torture": "sheaf.cli.torture:torture",
    "upload": "sheaf.cli.shortcut:UPLOAD",
    "version": "sheaf.cli.version:version",
}

SHEAF: Final = Dialect(
    name="sheaf",
    read_settings=read_sheaf,
    global_options=(
        global_option("--config", metavar="FILE", help="Configuration file."),
        global_option("--table/--no-table", default=None, help="Print lists as tables. Default: on a terminal."),
        global_option("-q", "--quiet", is_flag=True, help="Print only results, warnings and errors."),
        global_option("-v", "--verbose", count=True, help="Log each step and file; -vv also logs each request."),
        *GLOBAL_OPTIONS,
    ),
    exit_code=lambda code: code,
    exits=EXITS,
    usage_message=lambda error: " ".join(error.format_message().split()),
    error_prefix="error: ",
    hint_prefix="hint: ",
    note_prefix="",
    partial_exit=PARTIAL,
    has_tables=True,
)

sheaf: Final = Tree(
    "sheaf",
    VERBS,
    NOUNS,
    help="Versioned data: immutable, deduplicated bundles of folders, on any object store.\n\n"
    "Short commands accept REPO@REF:PATH. A REF is a label, a branch, a bundle id, a version hash, or REF~N.",
)
