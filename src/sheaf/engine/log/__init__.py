"""Logs of create-only records, and what is derived from them: refs and runs."""
