"""Encryption of everything derived from contents, and the keys that open a store. Only records stay readable."""
