"""The kind ``postgres``: databases come from bundles before the application starts, and become bundles after it has ended."""
