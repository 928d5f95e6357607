"""Every theorem of the paper as a gate that can fail: python -m experiments.theory (make verify).

One module a subject. Each ends in `GATES`, its rows of the table that `experiments.theory.__main__` runs.
"""
