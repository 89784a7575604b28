"""Encode and decode stored objects, one module per kind, with its version in its name. Normative: docs/format/v1.md."""
