"""The `raftsdk` command."""
