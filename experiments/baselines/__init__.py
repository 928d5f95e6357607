"""Does an entropy term beat the obvious? Methods tuned at an equal budget, judged on fresh seeds.

- methods: the table of methods, with the priors that their hyper-parameters are drawn from.
- tuning: what is trained, what a method is chosen by, tuning curves.
- judged: the table of results, and when a method helps.
- figure, page: both as a picture, and in words.
- command: `python -m experiments baselines`.
"""
