"""Copies of a repo in other stores."""
