"""Do force collapse and entropy balance persist in convolutional networks and transformers, trained hard?

    python -m experiments architectures

Section 9.5 of the paper asks it. `design` is what is trained: tasks, the networks on each, and a grid that all of them
share, in one store. Verdicts are those of `experiments.claims` on each network and task; `page` sets them side by side,
`figure` draws force and entropy, and `command` does all of it.
"""
