"""Tools for testing a backend or a program that uses Sheaf. Only tests import them."""
