"""The engine: chunks, packs, manifests, logs, sessions. Only this package keeps the invariants of ARCHITECTURE.md."""
