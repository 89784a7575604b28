"""Comparisons of trees: the differences of two, and what each of two sides has changed in a third."""
