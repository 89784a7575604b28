"""Stores that hold nothing readable but records: encryption of everything that is made of contents, and its keys."""
