"""The typed schema: one frozen `RunConfig` a run. Types and ranges are here, defaults in conf/ and nowhere else."""

import hashlib
import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError

from hclm_runner.config import labels, words
from hclm_runner.config.choices import STRICT, Choice, Group
from hclm_runner.parts import ROOMS
from hclm_runner.ranges import Count, Decay, NonNegative, Positive, Whole

SCHEMA_VERSION = 7
"""Part of every run's identity: raise it when a column is new or changes its meaning, or the trainer its numbers."""

EXECUTION = (
    "device",
    "compile",
    "name",
    "force",
    "save_parameters",
    "checkpoint_every",
    "callbacks",
    "objective",
    "sweep",
    "cluster",
)
"""Keys that say where and how a run executes, not what its result is."""


Seed = Annotated[int, Field(ge=0, lt=2**32)]

STORE_NAME = (
    "a name of letters, digits and _ . -, which starts with a letter, a digit or _; "
    "or the URL of a store, without passwords: s3://bucket/name, gs://, az://, file:///folder/name"
)
_STORE = r"^(\w[\w.-]*|((s3|gs|az)://\w[\w.-]*|file:/{2})(/(\w|[.~-]+\w)[\w.~+-]*)*)$"


def _text(value: object) -> object:
    return str(value) if type(value) is int else value


class SweepOptions(BaseModel):
    """How a multirun executes; no result depends on it."""

    model_config = STRICT

    on: Literal["local", "slurm", "dask"]
    dry_run: bool
    bundle: Literal["auto"] | Count
    workers: Literal["auto"] | Count
    memory: Literal["auto"] | Positive
    verify: Whole
    job_dirs: bool


class SlurmOptions(BaseModel):
    """What a task on a SLURM cluster asks for; no result depends on it, and a store does not record it."""

    model_config = STRICT

    partition: str | None
    account: str | None
    qos: str | None
    minutes: Count
    memory: Positive | None
    cpus: Count
    gpus: Whole
    parallel: Count
    queued: Count | None
    setup: list[str]
    extra: list[str]


class DaskOptions(BaseModel):
    """Whose workers train; no result depends on it, and a store does not record it."""

    model_config = STRICT

    address: Annotated[
        str, Field(pattern=r"^\w+://.", description="the address of a running scheduler, as in tcp://10.0.0.5:8786")
    ]


CLUSTERS = {"slurm": SlurmOptions, "dask": DaskOptions}
"""What `cluster` is, for each `sweep.on` but local."""


def _cluster(values: object) -> object:
    """Return the options of a cluster, told apart by their keys: each kind is refused in its own words."""
    if not isinstance(values, dict):
        return values
    schema = DaskOptions if "address" in values else SlurmOptions
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise words.refusal(error, schema, "cluster.") from None


class RunConfig(BaseModel):
    """Everything about one run. conf/config.yaml says what each key means."""

    model_config = STRICT

    lam: Annotated[NonNegative, AfterValidator(abs)]  # -0.0 is 0.0
    seed: Seed
    data_seed: Seed | None
    clamp: Positive | None
    sigma: NonNegative
    dropout: Decay
    epochs: Count
    batch_size: Count
    schedule: Literal["constant", "cosine"]
    schedule_warmup: Whole
    clip: Positive | None
    surrogate: Group
    surrogate_of: Literal["pooled", "tokens"]
    regime: Group
    task: Group
    model: Group
    optimizer: Group
    feedback: Group
    omega: NonNegative
    structure: Group
    rho: NonNegative
    risk: Group
    metric_force: Literal["ggn", "fisher"] | None
    metric_damping: Positive
    premises: bool
    measure_every: Count
    measure_samples: Count | None
    dtype: Literal["float32", "float64"]
    device: Literal["auto", "cpu", "cuda"]
    compile: Literal["auto"] | bool
    name: Annotated[str, Field(pattern=_STORE, description=STORE_NAME), BeforeValidator(_text)]
    force: bool
    save_parameters: bool
    checkpoint_every: Whole
    callbacks: list[str]
    objective: Literal["feedback_loss"] | None
    sweep: SweepOptions
    cluster: Annotated[SlurmOptions | DaskOptions, BeforeValidator(_cluster)]

    @property
    def title(self) -> str:
        """What a person would call the run."""
        data = "" if self.drawn_from == self.seed else f", data_seed {self.drawn_from}"
        return f"{self.label}, lam0 {self.lam:g}{data}, seed {self.seed}"

    @property
    def drawn_from(self) -> int:
        """The seed of the data: that of the run, unless it has another for them."""
        return self.seed if self.data_seed is None else self.data_seed

    @property
    def label(self) -> str:
        """What is compared over lam and seeds: surrogate / law / the rest; it differs whenever any of that does."""
        return f"{self.label_of('surrogate')} / {self.label_of('regime')} / {self.context}"

    @property
    def context(self) -> str:
        """What the run shares with those that it is compared with: its task, and each other key that has no default."""
        usual = labels.defaults()
        rest = {
            key: self.label_of(key) if key in ROOMS else labels.text(getattr(self, key))
            for key in self._used()
            if key not in ("lam", "seed", "data_seed", "surrogate", "regime", "task")
        }
        differ = [f"{key}={value}" for key, value in rest.items() if value != labels.text(usual[key])]
        return ", ".join([self.label_of("task"), *differ])

    def code(self) -> dict[str, Sequence[str | int]]:
        """Return group -> the name of its part and which code that is, of the groups in use."""
        parts = {key: getattr(self, key) for key in self._used() if key in ROOMS}
        return {group: (part.name, *part.code) for group, part in parts.items()}

    def label_of(self, group: str) -> str:
        """Return what the part of a group is called in the records."""
        choice: Choice = getattr(self, group)
        return choice.label(self.sigma)

    @property
    def run_id(self) -> str:
        """The identity of the run: a hash of all that determines its rows.

        That is the resolved configuration less `EXECUTION` and what is not in use, each part by its own identity
        (`Choice.identity`: no label and no place in the code), and the schema version. Equal configurations have equal
        ids, in any order of keys, in any store, on any machine.
        """
        used = {key: getattr(self, key) for key in self._used()}
        config = {key: value.identity() if isinstance(value, Choice) else value for key, value in used.items()}
        config |= {"data_seed": self.drawn_from, "schema": SCHEMA_VERSION}
        text = json.dumps(config, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _used(self) -> list[str]:
        """Return the keys on which the run's rows depend."""
        unused = {term for term, weight in (("structure", self.omega), ("risk", self.rho)) if weight == 0}
        off = {"surrogate_of": "pooled", "dropout": 0, "schedule": "constant", "schedule_warmup": 0}
        off |= {"clip": None, "measure_samples": None}
        unused |= {key for key, value in off.items() if getattr(self, key) == value}
        unused |= set() if self.metric_force else {"metric_force", "metric_damping"}
        unused |= set() if self.premises else {"premises"}
        unused |= set() if self.metric_force or self.premises else {"measure_every"}
        return [key for key in type(self).model_fields if key not in {*EXECUTION, *unused}]

    @property
    def shape_key(self) -> str:
        """What runs must have in common to train as one batch: not their seeds, nor their floats (but a model's).

        Whether omega, rho and dropout are zero is: a term that is left out costs nothing, and cannot spoil a run that
        does not have it.
        """
        groups = {group: [getattr(self, group).target, getattr(self, group).static()] for group in ROOMS}
        measured = ("metric_force", "premises", "measure_every", "measure_samples")
        scheduled = ("epochs", "batch_size", "schedule", "schedule_warmup")
        rest = {key: getattr(self, key) for key in ("dtype", "surrogate_of", *scheduled, *measured)}
        terms = {key: bool(getattr(self, key)) for key in ("omega", "rho", "clamp", "clip", "dropout")}
        return json.dumps(groups | rest | terms, sort_keys=True)

    def as_dict(self) -> dict[str, Any]:
        """Return the resolved configuration as plain data, of the form the YAML has."""

        def plain(value: object) -> object:
            if isinstance(value, BaseModel):
                return value.model_dump()
            return (
                {"name": value.name, "_target_": value.target, **value.options} if isinstance(value, Choice) else value
            )

        return {key: plain(getattr(self, key)) for key in type(self).model_fields}
