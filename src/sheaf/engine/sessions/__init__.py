"""Sessions, and what a writer must not use: erased contents, damaged objects, replaced packs."""
