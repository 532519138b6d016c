"""Deliberately wrong implementations, one room a port: every suite must catch every one of them, by name."""
