"""``store``: init, info, check."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from msgspec import structs

from sheaf.cli import options
from sheaf.cli.app import App
from sheaf.cli.commands.check_report import print_report, print_verdict, problem_records
from sheaf.cli.commands.key import PASSPHRASE, passphrase, secret_of_settings
from sheaf.cli.output.size_text import size_line, size_record
from sheaf.cli.output.text import count_of, full_size, go_time, quote
from sheaf.cli.verb_tree import verb
from sheaf.errors import InvalidInput
from sheaf.settings.secrets import keep_in_keyring, new_key

if TYPE_CHECKING:
    from sheaf.repo.diamond import DiamondInfo
    from sheaf.repo.values import StoreInfo

__all__ = ["check", "info", "init"]


@verb(
    example="sheaf store init s3://my-bucket/sheaf\n"
    "sheaf config set store s3://my-bucket/sheaf\n"
    "sheaf store init s3://my-bucket/secret --encrypt --key-file ~/sheaf.key",
    exits=(4, 5, 6, 8, 9, 10),
)
@click.argument("url", required=False)
@click.option("--encrypt", is_flag=True, help="Encrypt the store; implied by --passphrase and --keyring.")
@PASSPHRASE
@click.option(
    "--keyring", "to_keyring", is_flag=True, help="Encrypt with a new key in the keyring of the current user."
)
def init(app: App, url: str | None, *, encrypt: bool, asks: bool, to_keyring: bool) -> None:
    """Create a store at URL, after a check that the storage provides the guarantees Sheaf relies on.

    With --encrypt, the store can't be read without its key: not by the operator of the bucket, and not by you if the key
    is lost. The key file is created if it does not exist.
    """
    import sheaf  # the heavy part, which only verbs with a store load

    if url and "store" in app.flags:
        raise InvalidInput("the URL of the store is given twice", "pass it as the argument or as --store")
    if url:
        app.flags["store"] = url
    is_encrypted = encrypt or asks or to_keyring
    if "key_file" in app.flags and not is_encrypted:
        raise InvalidInput("--key-file: this store would not be encrypted", "add --encrypt")
    settings = app.settings
    author = sheaf.Author(settings.name, settings.email)
    secret = _secret(app, asks=asks, to_keyring=to_keyring) if is_encrypted else None
    with sheaf.init(settings.store, options=app.storage_options(), author=author, key=secret) as store:
        if to_keyring and isinstance(secret, bytes):
            keep_in_keyring(store.id, secret)
        app.out.line(f"store {store.id} at {store.url}{', encrypted' if store.is_encrypted else ''}")
        app.out.object({"id": store.id, "url": store.url})


def _secret(app: App, *, asks: bool, to_keyring: bool) -> bytes | str:
    from sheaf.repo.access.unlock import need_library

    # Fail before a key file is created, which would be of no use.
    need_library()
    if asks:
        return passphrase(app)
    secret = new_key() if to_keyring else secret_of_settings(app)
    if secret is None:
        raise InvalidInput("an encrypted store requires a key", "pass --key-file FILE, --passphrase or --keyring")
    return secret


@verb(example="sheaf store info --store s3://my-bucket/sheaf", exits=(3, 5, 6, 8, 9))
def info(app: App) -> None:
    """Show the properties and size of a store."""
    found = app.store.info()
    sizes = app.store.sizes()
    diamonds = _open_diamonds(app, found)
    listed = [{"repo": repo, "id": diamond.id, "started": diamond.started} for repo, diamond in diamonds]
    app.out.object({**structs.asdict(found), "data": size_record(sizes), "open_diamonds": listed})
    for line in _info_lines(found, size_line(sizes)):
        app.out.line(line)
    for repo, diamond in diamonds:
        app.out.line(f"open diamond:   {diamond.id} of {quote(repo)}, started {go_time(diamond.started)}")


def _open_diamonds(app: App, found: StoreInfo) -> list[tuple[str, DiamondInfo]]:
    """Return open diamonds with the names of their repos, because gc waits for them."""
    # Each open diamond is a session, so without sessions there is none.
    if not found.objects.get("sessions"):
        return []
    named = [(repo.name, diamond) for repo in app.store.repos() for diamond in app.repo(repo.name).diamonds()]
    return [(name, diamond) for name, diamond in named if diamond.state == "initialized"]


def _info_lines(found: StoreInfo, data: str) -> list[str]:
    return [
        f"url:            {quote(found.url)}",
        f"id:             {found.id}",
        f"created:        {go_time(found.created)}",
        f"repos:          {found.repos}",
        f"stored:         {full_size(found.stored_bytes)}",
        f"data:           {data}",
        f"chunker:        {', '.join(f'{key} {value}' for key, value in found.chunker.items())}",
        f"read features:  {', '.join(found.read_features) or 'none'}",
        f"write features: {', '.join(found.write_features) or 'none'}",
        *(f"{f'{folder}/:':<15} {count_of(count, 'object')}" for folder, count in sorted(found.objects.items())),
    ]


@verb(example="sheaf store check\nsheaf store check --read-data=10%", exits=(3, 5, 6, 7, 8, 9))
@options.read_data("Also verify every byte; N% selects the part not read for longest.")
@click.option("--resume", is_flag=True, help="Skip data that an interrupted --read-data check has read.")
@click.option("--repo", metavar="REPO", help="Check only what this repo needs.")
def check(app: App, read_data: float | None, resume: bool, repo: str | None) -> int:
    """Verify a store. Exits with 6 if anything is damaged, or with 7 if all damage can be repaired."""
    if resume and read_data != 1:
        raise InvalidInput("only a check of all data can be resumed", "add --read-data")
    progress = app.progress("check", "objects")
    report = app.store.check(read_data=read_data or 0.0, resume=resume, repo=repo, progress=progress)
    progress.close()
    problems = problem_records(report)
    unfinished = [{"name": left.name, "size": left.size, "kept": left.kept} for left in report.unfinished]
    counted = {"counts": dict(report.counts), "problems": problems, "unlisted": report.unlisted}
    app.out.object({"ok": report.ok, **counted, "unfinished": unfinished, "noted": report.noted})
    print_report(app, report)
    has_replicas = report.ok or bool(app.store.replicas.urls)
    return print_verdict(app, report, read_data=bool(read_data), has_replicas=has_replicas)
