"""The file `sheaf.lock`: folders of a working tree, and the bundles that they are pinned to."""
