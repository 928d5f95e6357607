"""What is done with the runner: benchmarks, and later figures, claims and theory."""
