"""Several commands that train one sweep into a store at a URL, on any machines: which of them trains which bundle.

There is no server but the storage. Each command is a driver, and what they agree on are objects beside the shards:

    plan/<sweep>.json      the bundles: whoever plans the sweep first says for all, by put-if-absent
    taken/<bundle>.<n>     the name of the driver that has the bundle; it had n others before
    drivers/<driver>       a number that the driver raises every BEAT seconds while it lives; gone when it ends

Of the drivers that put taken/<bundle>.<n+1> at once one succeeds. Each may, once the driver in taken/<bundle>.<n> is
gone, or its number has stayed the same for PATIENCE seconds by the watch of the one who looks: no clock is compared
with that of another machine. A driver that only seemed dead does no harm: of the same runs the first shard wins.
"""

import hashlib
import json
import os
import platform
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from hclm_runner import remote, shards, store
from hclm_runner.config import RunConfig
from hclm_runner.objects import Objects, objects_at, url_of
from hclm_runner.shards import shard_name
from hclm_runner.sweeps.board import Result, counted
from hclm_runner.sweeps.plan import Plan
from hclm_runner.terminal import say

BEAT, PATIENCE = 5.0, 60.0
"""Seconds."""


class _Watch:
    """Which drivers are alive, as far as one has watched them."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.owners: dict[str, str] = {}
        """Key of what is taken -> driver."""
        self.heard: dict[str, tuple[bytes, float]] = {}
        """Driver -> its number, and since when by this watch."""

    def taken(self) -> dict[str, int]:
        """Return bundle -> n, of those that a driver has or had."""
        found: dict[str, int] = {}
        for name in self.objects.listed("taken"):
            bundle, _, n = name.rpartition(".")
            found[bundle] = max(int(n), found.get(bundle, 0))
        return found

    def silent(self, bundle: str, n: int) -> float:
        """Return for how many seconds the driver of a bundle was not heard of; infinity if it is gone."""
        key = f"taken/{bundle}.{n}"
        try:
            if key not in self.owners:
                self.owners[key] = self.objects.get(key).decode()
            number = self.objects.get(f"drivers/{self.owners[key]}")
        except FileNotFoundError:
            return float("inf")
        known, since = self.heard.get(self.owners[key], (b"", 0.0))
        if number != known:
            since = time.monotonic()
            self.heard[self.owners[key]] = number, since
        return time.monotonic() - since

    def hear(self, taken: Mapping[str, int]) -> dict[str, bytes]:
        """Return driver -> its number, of those that have bundles and were heard of."""
        for bundle, n in taken.items():
            self.silent(bundle, n)
        return {driver: number for driver, (number, _) in self.heard.items()}


class Driver:
    """This command, among those that train one sweep."""

    def __init__(self, folder: Path, url: str, configs: Collection[str], plan: Plan, size: object) -> None:
        """Agree on the bundles."""
        self.folder, self.objects = folder, objects_at(url)
        self.name = f"{platform.node()}-{os.getpid()}-{uuid4().hex[:8]}"
        self.watch, self.number, self.beaten, self.again = _Watch(self.objects), 0, -BEAT, 0.0
        self.mine: dict[str, tuple[int, set[str]]] = {}
        """Bundle -> n, and its runs that have not ended; of those that this driver has."""
        self.seen, self.tried = {*shards.names(folder)}, set[str]()
        """The shards that are known, and the runs that have ended since this driver began."""
        self.elsewhere: list[RunConfig] = []
        """The runs that other drivers have tried."""
        self.plan = f"plan/{hashlib.sha256(' '.join([*sorted(configs), str(size)]).encode()).hexdigest()[:16]}.json"
        self.bundles, self.bundle_of = self._agree(plan.bundles)
        self.open = {run.run_id for bundle in self.bundles for run in bundle}
        """The runs that have not ended, as far as this driver knows."""

    def _agree(self, planned: Sequence[list[RunConfig]]) -> tuple[list[list[RunConfig]], dict[str, str]]:
        """Return what is missing, in the bundles of whoever planned the sweep first, and run id -> name of a bundle."""
        missing = {run.run_id: run for bundle in planned for run in bundle}
        own = [[run.run_id for run in bundle] for bundle in planned]
        said = None
        while said is None:
            first = self.objects.create(self.plan, json.dumps(own).encode())
            with suppress(FileNotFoundError):  # the others have just ended
                said = own if first else json.loads(self.objects.get(self.plan))
        there = {run_id for bundle in said for run_id in bundle}
        agreed = [*said, *([run_id for run_id in bundle if run_id not in there] for bundle in own)]
        bundle_of = {run_id: shard_name(bundle) for bundle in agreed for run_id in bundle}
        left = ([missing[run_id] for run_id in bundle if run_id in missing] for bundle in agreed)
        return [bundle for bundle in left if bundle], bundle_of

    def beat(self) -> None:
        """Say that this driver lives, if it is time."""
        if time.monotonic() - self.beaten >= BEAT:
            self.number, self.beaten = self.number + 1, time.monotonic()
            self.objects.replace(f"drivers/{self.name}", str(self.number).encode())

    def take(self, queue: deque[list[RunConfig]]) -> list[RunConfig]:
        """Take a bundle out of a queue, and return what nobody has tried of it; [] while others train all that is left.

        Raises:
            OSError: If the server refuses.
        """
        if self.bundle_of[queue[0][0].run_id] in self.mine:  # half of one that failed
            return queue.popleft()
        if time.monotonic() < self.again:
            return []
        taken = self.watch.taken()
        for bundle in [*queue]:
            name = self.bundle_of[bundle[0].run_id]
            n = taken.get(name, -1)
            if not all(run.run_id in self.tried for run in bundle):
                away = n >= 0 and self.watch.silent(name, n) < PATIENCE
                if away or not self._taken(name, n + 1, bundle):
                    continue
            del queue[next(place for place, each in enumerate(queue) if each is bundle)]
            self.elsewhere += [run for run in bundle if run.run_id in self.tried]
            left = [run for run in bundle if run.run_id not in self.tried]
            if left:
                return left
            self.ended(bundle)
        if queue and not self.again:
            say(f"{self.folder}/: other machines train what is left, {counted(len(queue), 'bundle')}; waiting for them")
        self.again = time.monotonic() + BEAT
        return []

    def _taken(self, name: str, n: int, bundle: Sequence[RunConfig]) -> bool:
        """Take a bundle if nobody else does at this moment; then see what is done, for nobody else can begin it now."""
        if not self.objects.create(f"taken/{name}.{n}", self.name.encode()):
            return False
        self.mine[name] = n, {run.run_id for run in bundle}
        remote.pull(self.folder)
        for shard in {*shards.names(self.folder)} - self.seen:
            self.seen.add(shard)
            self.tried |= shards.ids_of(self.folder / "runs" / shard)
        return True

    def ended(self, runs: Sequence[RunConfig]) -> None:
        """Note that runs have ended and are written; a bundle of which all have is nobody's."""
        ids = {run.run_id for run in runs} | self.tried
        self.open -= ids
        name = self.bundle_of[runs[0].run_id]
        if name in self.mine:
            n, left = self.mine[name]
            left -= ids
            if not left:
                del self.mine[name]
                self._release(name, n)

    def _release(self, name: str, n: int) -> None:
        for each in range(n + 1):
            self.objects.delete(f"taken/{name}.{each}")

    def account(self, result: Result) -> None:
        """Add to a result how the runs have ended that other drivers tried."""
        titles = {run.run_id: run.title for run in self.elsewhere}
        known, finished = store.index(self.folder, ["error", "warnings"]), result.finished
        result.note(known[known["run_id"].isin(titles)], titles)
        result.finished, result.elsewhere = finished, result.finished - finished

    def leave(self) -> None:
        """Leave what is not trained to the others."""
        with suppress(OSError):  # if it cannot be said, they hear nothing of this driver any more
            taken = {name: n for name, (n, _) in self.mine.items()}
            if not self.open:  # a driver may have died before it said that its bundle has ended
                names = {*self.bundle_of.values()}
                taken |= {name: n for name, n in self.watch.taken().items() if name in names}
            for name, n in taken.items():
                self._release(name, n)
            self.objects.delete(f"drivers/{self.name}")
            if not self.open:
                self.objects.delete(self.plan)


@contextmanager
def joined(folder: Path, configs: Collection[str], plan: Plan, size: object) -> Iterator[tuple[Plan, Driver | None]]:
    """Yield the plan that all drivers of a sweep have, and this one; the plan as it is, if the store is at no URL.

    Args:
        folder: The store, locked.
        configs: The ids of all runs of the sweep, done or not.
        plan: What this command would train.
        size: The option `sweep.bundle`.

    Raises:
        OSError: If the server refuses.
    """
    url = url_of(folder)
    if url is None:
        yield plan, None
        return
    driver = Driver(folder, url, configs, plan, size)
    try:
        yield replace(plan, bundles=driver.bundles), driver
    finally:
        driver.leave()


def standing(folder: Path) -> list[tuple[list[str], str]]:
    """Return bundles of run ids that are planned at the URL of a store, each with what it is; none if it has no URL.

    Running is one whose driver raises its number while this function watches: at most three beats.
    """
    url = url_of(folder)
    if url is None:
        return []
    watch, end = _Watch(objects_at(url)), time.monotonic() + 3 * BEAT
    plans = [json.loads(watch.objects.get(f"plan/{name}")) for name in watch.objects.listed("plan")]
    taken = watch.taken()
    heard = watch.hear(taken)
    while (now := watch.hear(taken)) and now.items() & heard.items() and time.monotonic() < end:
        time.sleep(BEAT / 5)
    alive = {driver for driver, number in now.items() if number != heard.get(driver)}
    kinds = {
        bundle: "running" if watch.owners.get(f"taken/{bundle}.{n}") in alive else "dead" for bundle, n in taken.items()
    }
    return [(bundle, kinds.get(shard_name(bundle), "pending")) for plan in plans for bundle in plan]
