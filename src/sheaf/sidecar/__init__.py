"""Sidecars: data is there before a program in a pod starts, and what it wrote is saved after it has ended.

The programs of the store (mounts, uploads) run as child processes; this package starts, watches and ends them.
"""
