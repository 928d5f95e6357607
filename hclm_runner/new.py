"""The command: python -m hclm_runner new GROUP NAME, which writes a part of a user's own to begin from.

What it writes stands in templates/: a module, its options file and its test, all of which work as they are.
"""

import importlib.util
import keyword
import re
from collections.abc import Sequence
from pathlib import Path

from hclm_runner.config import CONF
from hclm_runner.config.words import suggest
from hclm_runner.refusal import ConfigError

TEMPLATES = Path(__file__).parent / "templates"
FOLDER = "myconf"
"""Of a user's options files: what the command's --config-dir names."""

USES = {"feedback": "regime=rl_thermostat "}
"""What else must be chosen for a part of a group to matter."""

USAGE = """usage: python -m hclm_runner new GROUP NAME
  writes NAME.py, {folder}/GROUP/NAME.yaml and test_NAME.py into this folder; GROUP is one of {groups}"""


def main(arguments: Sequence[str]) -> None:
    """Write the three files of a new part, and print what to run next.

    Raises:
        ConfigError: If there is no such group, or the name is none or is taken: nothing is written then.
        OSError: If the folder cannot be written.
    """
    groups = sorted(path.name for path in TEMPLATES.iterdir())
    if not arguments or {"-h", "--help"} & set(arguments):
        print(USAGE.format(folder=FOLDER, groups=", ".join(groups)))
        return
    if len(arguments) != 2:
        raise ConfigError("new", " ".join(arguments), "a group and a name, as in new surrogate my_surrogate")
    group, name = arguments
    if group not in groups:
        raise ConfigError("new", group, f"one of {', '.join(groups)}{suggest(group, groups)}")
    files = _files(group, name)
    _check_name(group, name, list(files))
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    module, options, test = files
    command = f"python -m hclm_runner --config-dir {FOLDER}"
    print(f"{module}: the {group}; edit it\n{options}: its options\n{test}: what it promises\n")
    print(f"python -m pytest {test}\n{command} {USES.get(group, '')}{group}={name} epochs=2")


def _files(group: str, name: str) -> dict[Path, str]:
    """Return path -> text of the module, the options file and the test."""
    class_name = "".join(word.capitalize() for word in name.split("_"))

    def filled(template: str) -> str:
        text = (TEMPLATES / group / template).read_text(encoding="utf-8")
        return text.replace("my_part", name).replace("MyPart", class_name)

    aligned = re.sub(r"^(\S.*?) +# ", lambda line: f"{line[1]:<31} # ", filled("my_part.yaml"), flags=re.MULTILINE)
    return {
        Path(f"{name}.py"): filled("my_part.py"),
        Path(FOLDER, group, f"{name}.yaml"): aligned,
        Path(f"test_{name}.py"): filled("test_my_part.py"),
    }


def _check_name(group: str, name: str, paths: Sequence[Path]) -> None:
    """Refuse a name that is none for a module, or that something has already."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise ConfigError(f"new {group}", name, "a name of small letters, digits and _, as in my_part")
    if existing := [str(path) for path in paths if path.exists()]:
        raise ConfigError(f"new {group}", name, f"a name whose files are not there yet, got {', '.join(existing)}")
    if (CONF / group / f"{name}.yaml").exists():
        raise ConfigError(f"new {group}", name, f"a name that is not an option of {group} already")
    if importlib.util.find_spec(name):
        raise ConfigError(f"new {group}", name, "a name that is not a Python module already: yours would hide it")
