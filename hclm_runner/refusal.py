"""The one refusal of this package, and an error of a user's own part, each in one line. Imports nothing of it."""

import re
import sysconfig
import traceback
from pathlib import Path

TOGETHER = "runs train as one batch, so"
INSTEAD = {
    r"random operation while in randomness": "a run must follow from its seed, so no random numbers "
    "(Dropout, torch.rand) are allowed here; sigma is the noise of the representation",
    r"calling \.item\(\)": f"{TOGETHER} a value must stay a tensor: no .item(), float(), int() or f-string of it",
    r"data-dependent control flow|Boolean value of Tensor": f"{TOGETHER} no `if` on a tensor's value: write "
    "torch.where(condition, a, b), and torch.maximum for max",
    r"inplace arithmetic|doesn't match the broadcast shape|modified by an inplace operation": f"{TOGETHER} nothing is "
    "changed in place: write x = x + y for x += y, and torch.stack for x[i] = y",
    r"Cannot access data pointer": f"{TOGETHER} only torch's functions work: no .numpy(), .tolist() or numpy function",
    r"dynamic shape": f"{TOGETHER} no shape may depend on values: write torch.where(mask, Z, 0) for Z[mask]",
}
"""What torch says where a part cannot be vectorised over runs -> what to write instead."""

ERRORS = (Exception, SystemExit)
"""What a part of a user's own may raise, and fails by: sys.exit(0) too, but not the person's Ctrl-C."""

_PACKAGE, _LIBRARY = Path(__file__).parent, sysconfig.get_paths()["stdlib"]


class ConfigError(ValueError):
    """A refused configuration: `key`, the `value` it had (None to leave it out), what was `expected`."""

    def __init__(self, key: str, value: object, expected: str) -> None:
        """Say it in one line."""
        self.key, self.value, self.expected = key, value, expected
        given = key if value is None else f"{key}={value}"
        super().__init__(f"{given}: expected {expected}")

    def __reduce__(self) -> tuple[type["ConfigError"], tuple[str, object, str]]:
        """Let it travel between processes."""
        return type(self), (self.key, self.value, self.expected)


class NoResultError(RuntimeError):
    """A run has no result where one is needed: it failed, or it was refused while it trained."""


def one_line(error: BaseException) -> str:
    """Return an error's message on one line, headed by its type.

    Of an error in a user's own code it names the place, and of torch's messages about vmap what to write instead.
    """
    message = " ".join(str(error).split())
    advice = (text for pattern, text in INSTEAD.items() if re.search(pattern, message))
    found = place(error)
    return f"{type(error).__name__}: {next(advice, message)}" + (f" ({found})" if found else "")


def out_of_memory(error: BaseException) -> bool:
    """Return whether there was not enough memory, on the machine or on a GPU."""
    torch_says = type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
    return isinstance(error, MemoryError) or torch_says


def place(error: BaseException) -> str:
    """Return file, line and function of the innermost frame of a user's own code: "mine.py, line 3, in renyi".

    That is code outside this package, Python's own library and what is installed. "" where there is none, and for a
    SyntaxError, which names its place itself.
    """
    frames = [] if isinstance(error, SyntaxError) else traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        file = Path(frame.filename)
        library = {"site-packages", "dist-packages"} & set(file.parts) or file.is_relative_to(_LIBRARY)
        if file.is_file() and not library and not file.is_relative_to(_PACKAGE):
            shown = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
            return f"{shown}, line {frame.lineno}" + ("" if frame.name == "<module>" else f", in {frame.name}")
    return ""
