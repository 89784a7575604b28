"""Notebooks: ``%load_ext sheaf`` gives ``%sheaf use``, ``%%sheaf run`` and displays of bundles, files and history."""
