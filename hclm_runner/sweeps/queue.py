"""What a SLURM cluster is asked: its queue, its limits. In its own words, without accounting (sacct)."""

import getpass
import re
import shutil
import subprocess
import sys

from hclm_runner.refusal import ConfigError


def tasks() -> dict[tuple[str, int], str] | None:
    """Return (name of the array, number of the task) -> its state, `PD` while it waits; None where there is no squeue.

    Raises:
        ConfigError: If the cluster does not answer.
    """
    if shutil.which("squeue") is None:
        return None
    lines = ask("squeue", "--me", "--noheader", "--array", "--format=%j|%K|%t").splitlines()
    found = (line.strip().split("|") for line in lines)
    return {(name, int(number) if number.isdigit() else 0): state for name, number, state in found}


def largest_array() -> int:
    """Return how many tasks an array may have.

    Raises:
        ConfigError: If the cluster does not answer.
    """
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", ask("scontrol", "show", "config"), re.MULTILINE)
    return int(found[1]) if found else 1001


def ask(*command: str) -> str:
    """Return what a command of the cluster prints.

    Raises:
        ConfigError: If it is not there or fails, with its own words.
    """
    if shutil.which(command[0]) is None:
        raise absent(command[0])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise refusal(f"a cluster that answers, got: {words(done.stderr)}")
    return done.stdout


def absent(command: str) -> ConfigError:
    """Return the refusal of a sweep on a cluster where there is none."""
    return refusal(f"a machine with SLURM's commands: {command} is not on the path")


def refusal(expected: str) -> ConfigError:
    """Return the refusal of a sweep on a cluster."""
    return ConfigError("sweep.on", "slurm", expected)


def words(message: str) -> str:
    """Return what a command of the cluster says on one line, without the command's own name."""
    lines = (re.sub(r"^(sbatch|squeue|scontrol|scancel): (error|fatal): ", "", line) for line in message.splitlines())
    return "; ".join(dict.fromkeys(line.strip() for line in lines if line.strip()))


def room(most: int | None, queued: int) -> int:
    """Return how many more tasks the queue takes of this user, who has some limit where the cluster keeps accounts.

    Args:
        most: The option `cluster.queued`.
        queued: How many the user has in it.
    """
    limits = [] if most is None else [most]
    if shutil.which("sacctmgr"):
        command = ("sacctmgr", "--noheader", "--parsable2", "show", "assoc", f"user={getpass.getuser()}")
        said = subprocess.run([*command, "format=MaxSubmitJobs"], capture_output=True, text=True, check=False)
        limits += [int(line) for line in said.stdout.split() if line.isdigit()]  # nothing, without accounting
    return max(0, min(limits, default=sys.maxsize) - queued)
