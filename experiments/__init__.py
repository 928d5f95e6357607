"""What is done with the runner: figures, claims and their report, comparisons, theory, benchmarks.

`python -m experiments` lists the commands.
"""
