"""The tree of verbs of ``sheaf``. Modules load when their verb is used."""

from __future__ import annotations

from typing import Final

from sheaf.cli.app import Dialect
from sheaf.cli.exits import EXITS, PARTIAL
from sheaf.cli.options import GLOBAL_OPTIONS, global_option
from sheaf.cli.verb_tree import Tree
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
    "branch create": "sheaf.cli.commands.branch:create",
    "branch delete": "sheaf.cli.commands.branch:delete",
    "branch get": "sheaf.cli.commands.branch:get",
    "branch list": "sheaf.cli.commands.branch:list_",
    "branch set": "sheaf.cli.commands.branch:set_",
    "bundle commit": "sheaf.cli.commands.mount_new:commit",
    "bundle delete": "sheaf.cli.commands.gc:delete_bundle",
    "bundle diff": "sheaf.cli.commands.bundle:diff",
    "bundle download": "sheaf.cli.commands.bundle:download",
    "bundle download file": "sheaf.cli.commands.bundle:download_file",
    "bundle get": "sheaf.cli.commands.bundle:get",
    "bundle list": "sheaf.cli.commands.bundle:list_",
    "bundle list files": "sheaf.cli.commands.bundle:list_files",
    "bundle mount": "sheaf.cli.commands.mount:mount",
    "bundle mount new": "sheaf.cli.commands.mount_new:mount_new",
    "bundle undelete": "sheaf.cli.commands.gc:undelete_bundle",
    "bundle update": "sheaf.cli.commands.bundle:update",
    "bundle upload": "sheaf.cli.commands.upload:upload",
    "bundle verify": "sheaf.cli.commands.bundle:verify",
    "cache clear": "sheaf.cli.commands.cache:clear",
    "cache info": "sheaf.cli.commands.cache:info",
    "cache limit": "sheaf.cli.commands.cache:limit",
    "cat": "sheaf.cli.commands.ls_cat_log:cat",
    "completion": "sheaf.cli.commands.completion:completion",
    "config create": "sheaf.cli.commands.config:create",
    "config get": "sheaf.cli.commands.config:get",
    "config set": "sheaf.cli.commands.config:set_",
    "config unset": "sheaf.cli.commands.config:unset",
    "context create": "sheaf.cli.commands.context:create",
    "context get": "sheaf.cli.commands.context:get",
    "context list": "sheaf.cli.commands.context:list_",
    "context use": "sheaf.cli.commands.context:use",
    "cp": "sheaf.cli.commands.cp:cp",
    "diamond cancel": "sheaf.cli.commands.diamond:cancel",
    "diamond commit": "sheaf.cli.commands.diamond:commit",
    "diamond get": "sheaf.cli.commands.diamond:get",
    "diamond initialize": "sheaf.cli.commands.diamond:initialize",
    "diamond list": "sheaf.cli.commands.diamond:list_",
    "diamond split add": "sheaf.cli.commands.diamond:split_add",
    "diamond split get": "sheaf.cli.commands.diamond:split_get",
    "diamond split list": "sheaf.cli.commands.diamond:split_list",
    "diff": "sheaf.cli.commands.diff:diff",
    "find": "sheaf.cli.commands.find:find",
    "download": "sheaf.cli.commands.shortcuts:DOWNLOAD",
    "label": "sheaf.cli.commands.shortcuts:LABEL",
    "label delete": "sheaf.cli.commands.label:delete",
    "label get": "sheaf.cli.commands.label:get",
    "label list": "sheaf.cli.commands.label:list_",
    "label set": "sheaf.cli.commands.label:set_",
    "log": "sheaf.cli.commands.ls_cat_log:log",
    "ls": "sheaf.cli.commands.ls_cat_log:ls",
    "repo create": "sheaf.cli.commands.repo:create",
    "repo delete": "sheaf.cli.commands.repo:delete",
    "repo get": "sheaf.cli.commands.repo:get",
    "repo list": "sheaf.cli.commands.repo:list_",
    "repo mount": "sheaf.cli.commands.mount:mount_repo",
    "repo pull": "sheaf.cli.commands.push:pull",
    "repo push": "sheaf.cli.commands.push:push",
    "repo rename": "sheaf.cli.commands.repo:rename",
    "repo squash": "sheaf.cli.commands.gc:squash",
    "repo undelete": "sheaf.cli.commands.gc:undelete_repo",
    "store check": "sheaf.cli.commands.store:check",
    "store erase": "sheaf.cli.commands.erase:erase",
    "store erased": "sheaf.cli.commands.erase:erased",
    "store gc": "sheaf.cli.commands.gc:gc",
    "store info": "sheaf.cli.commands.store:info",
    "store init": "sheaf.cli.commands.store:init",
    "store key add": "sheaf.cli.commands.key:add",
    "store key list": "sheaf.cli.commands.key:list_",
    "store key remove": "sheaf.cli.commands.key:remove",
    "store key rotate": "sheaf.cli.commands.key:rotate",
    "store mount": "sheaf.cli.commands.mount:mount_store",
    "store promote": "sheaf.cli.commands.replica:promote",
    "store repair": "sheaf.cli.commands.repair:repair",
    "store replica add": "sheaf.cli.commands.replica:add",
    "store replica list": "sheaf.cli.commands.replica:list_",
    "store replica policy": "sheaf.cli.commands.replica:policy",
    "store replica remove": "sheaf.cli.commands.replica:remove",
    "store replicate": "sheaf.cli.commands.replica:replicate",
    "store torture": "sheaf.cli.commands.torture:torture",
    "upload": "sheaf.cli.commands.shortcuts:UPLOAD",
    "version": "sheaf.cli.commands.version:version",
    "wait": "sheaf.cli.commands.wait:wait",
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
