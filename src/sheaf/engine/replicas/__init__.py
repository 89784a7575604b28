"""Copies of a store elsewhere: the primary alone decides, replicas get what it has decided, data first."""
