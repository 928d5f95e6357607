"""A real SLURM on this machine: Debian's packages, unpacked into a temporary folder; two nodes on loopback."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGES = ["slurmctld", "slurmd", "slurm-client", "slurm-wlm-basic-plugins"]
LIBRARIES = r"Depends: (lib(?:slurm|munge|hwloc)[\w.-]+)"
LARGEST_ARRAY = 5

CONFIGURATION = """
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
AuthInfo=cred_expire=5
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
SlurmdTimeout=6
KillWait=1
MaxArraySize={largest}
SchedulerParameters=sched_interval=1,batch_sched_delay=0
PluginDir={plugins}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={port1} CPUs=1 RealMemory=8000 State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={port2} CPUs=1 RealMemory=8000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES State=UP
"""


class Cluster:
    """The daemons, the folder where a person works, and how that person runs a command."""

    def __init__(self, root: Path, folder: Path) -> None:
        libraries = root / "usr/lib/x86_64-linux-gnu"
        self.daemons, self.folder, self.work = root / "usr/sbin", folder, folder / "work"
        host = socket.gethostname().partition(".")[0]
        ports = dict(zip(("port", "port1", "port2"), free_ports(3), strict=True))
        text = CONFIGURATION.format(
            host=host, folder=folder, plugins=libraries / "slurm-wlm", largest=LARGEST_ARRAY, **ports
        )
        (folder / "slurm.conf").write_text(text)
        (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        (folder / "state").mkdir()
        self.environment = os.environ | {
            "SLURM_CONF": str(folder / "slurm.conf"),
            "LD_LIBRARY_PATH": f"{libraries}:{libraries / 'slurm-wlm'}",
            "PATH": f"{root / 'usr/bin'}:{os.environ['PATH']}",
            "COLUMNS": "120",
        }
        self.processes = {"slurmctld": self.start("slurmctld-wlm", "-D", "-c")}
        for node in ("n1", "n2"):
            self.start_node(node)

    def start(self, program: str, *options: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{program}.out").open("ab") as out:
            return subprocess.Popen([self.daemons / program, *options], env=self.environment, stdout=out, stderr=out)

    def start_node(self, node: str) -> None:
        self.processes[node] = self.start("slurmd-wlm", "-D", "-N", node, "-d", str(self.daemons / "slurmstepd-wlm"))

    def kill_node(self, node: str) -> None:
        """Kill its daemon, and all that it has started."""
        jobs = self.ask("squeue", "--noheader", f"--nodelist={node}", "--format=%A").split()
        self.processes[node].kill()
        self.processes[node].wait()
        marks = [f"slurmstepd: [{job}." for job in jobs], [f"SLURMD_NODENAME={node}\0"]
        for file, wanted in zip(("cmdline", "environ"), marks, strict=True):  # what would report the end goes first
            for path in Path("/proc").glob(f"[0-9]*/{file}"):
                with contextlib.suppress(OSError):  # it has ended
                    if any(mark.encode() in path.read_bytes() for mark in wanted):
                        os.kill(int(path.parent.name), signal.SIGKILL)

    def ask(self, *command: str) -> str:
        return subprocess.run(command, env=self.environment, capture_output=True, text=True).stdout

    def until(self, seconds: float, *command: str, shows: str) -> None:
        """Wait until a command of the cluster prints what fits a pattern."""
        end = time.monotonic() + seconds
        while not re.search(shows, self.ask(*command)):
            assert time.monotonic() < end, (command, shows, self.ask(*command))
            time.sleep(0.3)

    def run(self, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m MODULE ARGS` as on a login node; it is gone when this returns."""
        command = [sys.executable, "-m", module, *arguments]
        return subprocess.run(command, cwd=self.work, env=self.environment, capture_output=True, text=True, timeout=300)


def free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SLURM's programs, from Debian's packages; nothing is installed."""
    pytest.importorskip("submitit")
    if os.geteuid() != 0:
        pytest.skip("needs root, as which slurmd starts tasks")
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        pytest.skip("needs apt-get and dpkg, to unpack Debian's packages of SLURM")
    folder = tmp_path_factory.mktemp("slurm")
    depends = subprocess.run(["apt-cache", "depends", *PACKAGES], capture_output=True, text=True).stdout
    wanted = [*PACKAGES, *sorted(set(re.findall(LIBRARIES, depends)))]
    got = subprocess.run(["apt-get", "download", *wanted], cwd=folder, capture_output=True, text=True)
    if got.returncode:
        pytest.skip(f"needs Debian's packages of SLURM: {got.stderr.strip().splitlines()[-1]}")
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, folder / "root"], check=True)
    return folder / "root"


@pytest.fixture(scope="module")
def cluster(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes of one core each."""
    made = Cluster(unpacked, tmp_path_factory.mktemp("cluster"))
    try:
        made.until(30, "sinfo", "--noheader", shows=r"2 +idle")
        yield made
    finally:
        for node in ("n1", "n2"):
            made.kill_node(node)  # and a task that was cancelled, for submitit passes over the first signal
        for process in made.processes.values():
            process.kill()
            process.wait()


@pytest.fixture
def on(cluster: Cluster, tmp_path: Path) -> Cluster:
    """The cluster, with an empty folder to work in, both nodes up and nothing queued."""
    cluster.work = tmp_path
    yield cluster
    cluster.ask("scancel", "--me", "--signal=KILL", "--full")
    cluster.ask("scancel", "--me")
    cluster.until(60, "squeue", "--noheader", shows=r"^$")
