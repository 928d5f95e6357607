"""Claims about the runs of a store, judged: the paper's of its figures, and those that hold for any surrogate and law.

    python -m experiments claims outputs/paper

- `paper` is the one table of the paper's claims, `generic` states claims of any surrogate and law.
- `claim` is what both are: an id, a sentence, and a function that turns the runs of a task into parts.
- `statistics` is what parts measure, `judge` turns parts into verdicts, `record` keeps them in the store.

Imports neither torch nor hydra.
"""
