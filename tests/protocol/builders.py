"""Who meets whom: small casts that every rule of the protocol is needed for."""

from __future__ import annotations

from tests.protocol.fakes import Copier, Deleter, Gc, Rules, Undeleter, Writer
from tests.protocol.model_store import Pack, Record, World
from tests.protocol.search import Actor, Cast

OF_X = Pack("of x", frozenset("x"))  #: garbage at first
OF_BOTH = Pack("of both", frozenset("ax"))  #: bundle ``old`` needs chunk ``a``: half dead
OLD = Record("add", "old", ("of both", "a"))
DELETED = Record("delete", "old")


def _garbage(*log: Record) -> World:
    return World(frozenset({OF_X}), frozenset({"of x"}), log)


def _half_dead(*log: Record) -> World:
    return World(frozenset({OF_BOTH}), frozenset({"of both"}), (OLD, *log))


def cast(world: World, *makers: object) -> Cast:
    """Actors by their names, made anew with the rules of each search."""

    def make(rules: Rules) -> tuple[World, dict[str, Actor]]:
        actors: dict[str, Actor] = {}
        for maker in makers:
            name, actor = maker(rules)  # type: ignore[operator]
            actors[name] = actor
        return world, actors

    return make


def writer(name: str) -> object:
    return lambda rules: (name, Writer(name, rules))


def copier(name: str, source: str) -> object:
    return lambda rules: (name, Copier(name, source, rules))


def deleter(source: str) -> object:
    return lambda rules: (f"deleter of {source}", Deleter(source))


def undeleter(source: str) -> object:
    return lambda rules: ("undeleter", Undeleter("undeleter", source, OLD.row, rules))


def gc(name: str) -> object:
    return lambda rules: (name, Gc(name, rules))


#: A few thousand states each.
QUICK: dict[str, Cast] = {
    "an upload of garbage, and a gc": cast(_garbage(), writer("w"), gc("gc")),
    "an upload of garbage that is deleted again": cast(_garbage(), writer("w"), deleter("w"), gc("gc")),
    "a copy of what is deleted": cast(_half_dead(), copier("c", "old"), deleter("old"), gc("gc")),
    "an upload of what is half dead": cast(_half_dead(), writer("w"), gc("gc")),
    "an undelete": cast(_half_dead(DELETED), undeleter("old"), gc("gc")),
    "an undelete of what is just deleted": cast(_half_dead(), deleter("old"), undeleter("old"), gc("gc")),
    "two gcs": cast(_half_dead(), gc("gc"), gc("gc2")),
}
#: Rules without which something is lost, and who shows it. ``settles`` matters where listings are late.
NEEDED: dict[str, str] = {
    "registers_first": "an upload of garbage, and a gc",
    "looks_at_condemned": "an upload of garbage, and a gc",
    "asks_packs": "an upload of what is half dead",
    "names_are_unique": "an upload of garbage, and a gc",
    "looks_for_base_when_registered": "a copy of what is deleted",
    "sees_that_it_is_void": "an upload of garbage, and a gc",
    "stays_while_commit_may_land": "an upload of garbage, and a gc",
    "undeletes_only_what_is_whole": "an undelete",
    "resolves": "an upload of garbage, and a gc",
    "ends_by_record": "an upload of garbage, and a gc",
    "looks_again": "an upload of garbage, and a gc",
    "counts_the_past": "a copy of what is deleted",
    "leaves_out_what_is_gone": "a copy beside two gcs",
    "carries_over_before_it_deletes": "a copy of what is deleted",
    "moves_by_record": "two gcs",
    "gc_sees_that_it_is_void": "two gcs",
    "condemned_goes_last": "an undelete",
    "settles": "an upload of garbage, and a gc",
}
#: Rules that others make up for: writers ask packs that the index names; gc counts all that has lived since its mark.
SPARE = ("looks_at_condemned_before_index", "refuses_dead_rows")
#: Tens to hundreds of thousands.
LARGE: dict[str, Cast] = {
    "two uploads of garbage": cast(_garbage(), writer("v"), writer("w"), gc("gc")),
    "an upload, and two gcs": cast(_garbage(), writer("w"), gc("gc"), gc("gc2")),
    "a copy of an upload that is deleted": cast(_garbage(), writer("w"), copier("c", "w"), deleter("w"), gc("gc")),
    "a copy beside two gcs": cast(_half_dead(), copier("c", "old"), deleter("old"), gc("gc"), gc("gc2")),
    "an undelete beside two gcs": cast(_half_dead(DELETED), undeleter("old"), gc("gc"), gc("gc2")),
    "an upload beside two gcs that move": cast(_half_dead(), writer("w"), gc("gc"), gc("gc2")),
    "a copy of a copy": cast(
        _half_dead(), copier("c", "old"), copier("d", "c"), deleter("old"), deleter("c"), gc("gc")
    ),
}
