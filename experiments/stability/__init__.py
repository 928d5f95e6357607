"""The loop of a thermostat as control engineers see it: the plant, the margins, and whether the boundary is where said.

    python -m experiments stability

- `design` is the table of runs.
- `identify` fits the plant, from a pseudo-random signal on what the law sets; `margins` says from it where the loop
  becomes unstable.
- `response` measures a run: how far it swings, when it settles. `findings` puts the measured maps beside the
  prediction, and `figure` draws both.
- `command` trains what is missing, and does all of that.
"""
