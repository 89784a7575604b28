"""Notebooks: ``%load_ext sheaf`` adds ``%sheaf use``, ``%%sheaf run`` and displays of bundles, files and history."""
