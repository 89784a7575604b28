"""Benchmarks of Sheaf against its peers: ``make bench``, ``make bench-quick``. See bench/README.md."""
