"""Claims about the runs of a store, judged: the paper's of its figures, and those that hold for any surrogate and law.

    python -m experiments claims outputs/paper

- `paper` is the one table of the paper's claims, `generic` states claims of any surrogate and law.
- `claim` is what both are: an id, a sentence, and functions that turn the runs of a task into parts, one a reading.
- `statistics` is what parts measure, `intervals` says how sure that is, `judge` turns parts into verdicts, `record`
  keeps them in the store.
- `page` writes VERDICTS.md from that: `findings` before any claim, and our `remarks` on each.

Imports neither torch nor hydra.
"""
