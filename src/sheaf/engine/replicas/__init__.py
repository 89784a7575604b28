"""Copies of a store in other locations: only the primary decides, and replicas get its decisions, data first."""
