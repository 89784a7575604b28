"""Erasure of contents, names and rows, with receipts."""
