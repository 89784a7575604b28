"""A bundle out of a store, as a folder."""
