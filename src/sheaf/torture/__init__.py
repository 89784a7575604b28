"""Test a location for the guarantees that Sheaf requires: ``sheaf store torture``, and helpers for tests."""
