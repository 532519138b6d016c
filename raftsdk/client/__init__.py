"""The client: finds the leader, retries what is safe to retry, and says when an outcome is unknown."""
