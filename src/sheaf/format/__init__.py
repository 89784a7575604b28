"""Bytes to model and back, one module per kind of object, versioned by name. Normative: docs/format/v1.md."""
