"""The random streams of a run: all of them follow from its seeds, and from nothing else."""

import numpy as np

PURPOSES = ("data", "weights", "order", "noise", "annotator", "policy", "balance", "dropout", "placebo", "subset")
"""What randomness is used for. The position is part of the stream's key: append, never reorder.

- data: the task's, epoch 0.
- weights: one integer below 2^63 that seeds torch while the model is built in float32, epoch 0.
- order: a permutation of the training set for each training epoch 1..T, cut to whole batches.
- noise: xi [steps, B, ...], a sample's of the shape of its Z, standard normal, for each training epoch 1..T.
- annotator: two normals, then two uniforms, at the end of each epoch 0..T.
- policy: one standard normal at the end of each epoch 0..T.
- balance: xi [draws / 2, n, ...], standard normal, at the end of each epoch 0..T.
- dropout: [steps, B, ...], uniform in [0, 1), for each training epoch 1..T, where `dropout` is not 0.
- placebo: a permutation of the T values of lam that a stored run had in force, epoch 0.
- subset: a permutation of the training set, whose first `measure_samples` are measured, epoch 0; of the data seed.
"""


def stream(seed: int, purpose: str, epoch: int = 0) -> np.random.Generator:
    """Return the generator for one purpose in one epoch of the run with this seed.

    Two runs with one seed share data, initial weights, batch order and noise whatever else differs between them (common
    random numbers), so every comparison over surrogates, regimes or lam is paired. A stream is addressed, not advanced:
    epoch 7 can be drawn without drawing epochs 0 to 6.

    Args:
        seed: The run's seed, of its data `RunConfig.drawn_from`, 0 <= seed < 2**32 (a larger one would spill into the
            key's next word).
        purpose: One of `PURPOSES`.
        epoch: The epoch the numbers are for; 0 for what is drawn once a run.

    Raises:
        ValueError: If `purpose` is unknown.
    """
    if purpose not in PURPOSES:
        raise ValueError(f"purpose {purpose!r} is none of {', '.join(PURPOSES)}")
    return np.random.default_rng([seed, PURPOSES.index(purpose), epoch])
