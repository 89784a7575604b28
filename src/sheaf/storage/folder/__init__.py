"""Stores in folders of this machine: durable, create-only, without locks."""
