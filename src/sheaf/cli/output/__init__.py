"""Output of the command line: lines, tables, JSON, progress."""
