"""The multiverse: every claim of the paper, judged in many plausible reconstructions of its experiment.

    python -m experiments multiverse

The paper leaves settings open. One reconstruction chooses a value for each, and its verdicts may be those of the
choice. Here a universe is one choice for all of them; each universe is a store of its own, with the same seeds.

- `design` is the table of choices, and how universes are drawn from it.
- `train` trains what universes lack, `judged` judges each one.
- `analysis` says what a claim's verdicts and effects in all universes are together; `results` keeps that.
- `figure` draws a specification curve for each claim, and the overview. `section` is what the report shows.

Steegen et al. 2016 (doi:10.1177/1745691616658637); Bell et al. 2022 (arXiv:2206.05985).
"""
