"""The engine: chunks, packs, manifests, logs, sessions. The invariants of ARCHITECTURE.md live here and nowhere else."""
