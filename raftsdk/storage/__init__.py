"""Stores that come with the package."""
