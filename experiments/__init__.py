"""What is done with the runner: figures, claims and their report, theory, benchmarks."""
