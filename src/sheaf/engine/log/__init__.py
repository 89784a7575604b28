"""Logs of create-only records, and what is read from them: refs and runs."""
