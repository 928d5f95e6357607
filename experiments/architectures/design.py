"""What is trained: the networks on each task, each with its own training, and a grid that all of them share."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from experiments.grid import REGIMES, SURROGATES
from hclm_runner.records import SPLITS
from hclm_runner.refusal import ConfigError

if TYPE_CHECKING:
    from hclm_runner.config import RunConfig


class Row(NamedTuple):
    """A network on a task."""

    task: str
    model: str
    lr: float
    """Of Adam: the best of `RATES` at lam = 0 on the seeds `TRIALS`, by `tuning`."""
    network: tuple[str, ...] = ()
    """Its sizes, where they are not those of its option."""

    @property
    def title(self) -> str:
        """What it is called."""
        return f"{self.task} / {self.model}"


SMALL_TRANSFORMER = ("model.width=16", "model.depth=1", "model.heads=2")
ROWS = (
    Row("mnist1d", "mlp", 0.001, ("model.hidden=[64,64]", "model.activation=gelu")),
    Row("mnist1d", "cnn", 0.01, ("model.channels=[8,8,16]",)),
    Row("mnist1d", "transformer", 0.01, SMALL_TRANSFORMER),
    Row("fashion_mnist", "mlp", 0.001, ("model.activation=gelu",)),
    Row("fashion_mnist", "cnn", 0.003, ("model.channels=[4,8]",)),
    Row("fashion_mnist", "transformer", 0.01, ("model.patch=7", *SMALL_TRANSFORMER)),
    Row("text", "causal_transformer", 0.01, ("model.representation=16", *SMALL_TRANSFORMER, "surrogate_of=tokens")),
)
STRONG = ("optimizer=adam", "schedule=cosine", "schedule_warmup=2", "clip=1", "sigma=0.3", "batch_size=32")
"""Strong training, of every network."""
LAWS = {"mnist1d": REGIMES, "fashion_mnist": REGIMES, "text": ("fixed", "rate")}
"""Task -> its regimes. The entropy of a vocabulary is no set point, so the paper's are not for a language model."""
FASTER = ("regime.ki=0.4", "regime.warmup=2")
"""Of each law that moves lam, once an epoch: runs have a quarter of the epochs of the reference, or fewer."""
OPTIONS = {"fixed": (), "thermostat": FASTER, "rl_thermostat": FASTER, "rate": (*FASTER, "regime.setpoint=4")}


class Size(NamedTuple):
    """How much is trained."""

    lams: tuple[float, ...]
    seeds: int
    tasks: Mapping[str, tuple[str, ...]]
    """Task -> how large it is and how long it trains."""


def sized(epochs: int, train: int, feedback: int, test: int, measured: int, *others: str) -> tuple[str, ...]:
    """Return what sets the epochs, the samples of each split, and those that forces are measured on."""
    of_task = (f"task.{split}={size}" for split, size in zip(SPLITS, (train, feedback, test), strict=True))
    return (f"epochs={epochs}", *of_task, f"measure_samples={measured}", *others)


SMALL = Size(
    (0.0, 0.003, 0.03, 0.3),
    6,
    {
        "mnist1d": sized(30, 1000, 256, 512, 128),
        "fashion_mnist": sized(16, 512, 256, 512, 128),
        "text": sized(20, 512, 256, 256, 128, "task.context=16"),
    },
)
MEASURED = "all 1440 runs took half an hour on two cores"
WHOLE = Size(
    (0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0),
    10,
    {
        "mnist1d": sized(60, 4000, 1000, 1000, 1000),
        "fashion_mnist": sized(30, 50000, 10000, 10000, 2000),
        "text": sized(60, 1536, 384, 512, 384),
    },
)
"""All the data, for a GPU."""

RATES = (0.001, 0.003, 0.01, 0.03)
TRIALS = range(1000, 1003)
"""Seeds on which a learning rate is chosen, outside the grid."""
OURS = {"surrogate", "regime", "task", "model", "lam", "seed", "data_seed", "name", "optimizer.lr"}
"""Keys that the experiment sets."""


def runs(
    size: Size, rows: Iterable[Row] = ROWS, overrides: Sequence[str] = (), root: str | None = None
) -> "list[RunConfig]":
    """Return the runs, network by network.

    Args:
        size: How much is trained.
        rows: Which networks.
        overrides: Of every run.
        root: The folder of Fashion-MNIST's files; None for the option's.

    Raises:
        ConfigError: If an override is refused, or of a key that the experiment sets.
    """
    found = []
    for row in rows:
        for surrogate, regime in itertools.product(SURROGATES, LAWS[row.task]):
            chosen = (f"surrogate={surrogate}", f"regime={regime}", *OPTIONS[regime])
            base = configured(row, size, (*chosen, *overrides), root)
            places = itertools.product(size.lams, range(size.seeds))
            found += [base.model_copy(update={"lam": lam, "seed": seed}) for lam, seed in places]
    return found


def trials(rows: Iterable[Row] = ROWS, overrides: Sequence[str] = (), root: str | None = None) -> "list[RunConfig]":
    """Return the runs that a learning rate is chosen by: each of `RATES` at lam = 0, on the seeds `TRIALS`."""
    bases = [
        configured(row._replace(lr=lr), SMALL, ("lam=0", *overrides), root)
        for row, lr in itertools.product(rows, RATES)
    ]
    return [base.model_copy(update={"seed": seed}) for base, seed in itertools.product(bases, TRIALS)]


def configured(row: Row, size: Size, overrides: Sequence[str] = (), root: str | None = None) -> "RunConfig":
    """Return one run of a network.

    Raises:
        ConfigError: If an override is refused.
    """
    from hclm_runner import configure

    files = [f"task.root={root}"] if root is not None and row.task == "fashion_mnist" else []
    own = (f"task={row.task}", f"model={row.model}", f"optimizer.lr={row.lr}", *row.network)
    return configure(*STRONG, *own, *size.tasks[row.task], *files, *overrides)


def check(overrides: Iterable[str]) -> None:
    """Refuse overrides of what the experiment sets.

    Raises:
        ConfigError: If there are any.
    """
    for key in (text.partition("=")[0] for text in overrides):
        if key in OURS:
            raise ConfigError(key, None, f"no value: the experiment sets {', '.join(sorted(OURS))}")


def there(rows: Iterable[Row] = ROWS, root: str | None = None) -> tuple[list[Row], dict[str, str]]:
    """Return the rows whose data are on this machine; and task -> why not, of the others."""
    from hclm_runner.training.problem import draw_task

    lacking: dict[str, str] = {}
    for row in {row.task: row for row in rows}.values():
        try:
            draw_task(configured(row, SMALL, root=root))
        except ConfigError as error:
            lacking[row.task] = str(error)
    return [row for row in rows if row.task not in lacking], lacking


def count(size: Size, rows: Iterable[Row] = ROWS) -> int:
    """Return how many runs there are."""
    return sum(len(SURROGATES) * len(LAWS[row.task]) * len(size.lams) * size.seeds for row in rows)


def outlook(rows: Sequence[Row] = ROWS) -> str:
    """Return how long it takes, and what a GPU would do: a sweep's estimate counts products, and these are slower."""
    return (
        f"Convolutions and attention take several times this estimate: {MEASURED}. With --whole, for a GPU "
        f"(device=cuda): {count(WHOLE, rows)} runs, all of the data, {len(WHOLE.lams)} lam and {WHOLE.seeds} seeds."
    )
