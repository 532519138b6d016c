"""Side-by-side benchmarks: the same work for us and for what our users would pick instead, in one run."""
