"""The client: finds the leader, repeats what is safe to repeat, and says when an outcome is unknown."""

from raftsdk.client.client import Client
from raftsdk.client.session import Session

__all__ = ["Client", "Session"]
