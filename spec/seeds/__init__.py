"""What `spec/make_vectors.py` makes vectors of. A seed is never changed: whoever has read its vector relies on it."""
