"""Sessions, and what a writer must keep away from: contents erased, objects damaged, packs replaced."""
