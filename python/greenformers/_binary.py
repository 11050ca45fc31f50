"""Where the program is, and how it is asked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from typing import Any, Mapping, Sequence

__version__ = "0.2.0"

#: The environment variable that names the program, where it is not where pip puts it.
BINARY_VARIABLE = "GREENFORMERS_BINARY"


class GreenformersError(RuntimeError):
    """The program is not there, or has refused what it was asked; the message is its own."""


def find_binary() -> str:
    """The path of the program ``greenformers``.

    That is the one that ``GREENFORMERS_BINARY`` names, else the one that pip has put beside this Python, else the first on the ``PATH``.

    Raises:
        GreenformersError: If there is none.
    """
    named = os.environ.get(BINARY_VARIABLE)
    if named:
        if os.path.isfile(named) and os.access(named, os.X_OK):
            return named
        raise GreenformersError(f"`{BINARY_VARIABLE}` names `{named}`, which is no program")
    name = "greenformers.exe" if sys.platform == "win32" else "greenformers"
    folders = [sysconfig.get_path("scripts"), os.path.dirname(sys.executable)]
    for scheme in sysconfig.get_scheme_names():
        # `pip install --user` puts it elsewhere.
        if scheme == f"{os.name}_user":
            folders.append(sysconfig.get_path("scripts", scheme))
    for folder in folders:
        path = os.path.join(folder, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    found = shutil.which(name)
    if found is None:
        raise GreenformersError(
            f"the program `greenformers` is neither beside this Python nor on the PATH: install the wheel again, or set `{BINARY_VARIABLE}`"
        )
    return found


def options_of(options: Mapping[str, Any]) -> list[str]:
    """Options of the command line from arguments of a function.

    >>> options_of({"usd_per_kwh": 0.25, "arch": ["dense", "lrt:rank=256"], "process": True, "grid": None})
    ['--usd-per-kwh=0.25', '--arch=dense', '--arch=lrt:rank=256', '--process']
    """
    words: list[str] = []
    for name, value in options.items():
        option = "--" + name.replace("_", "-")
        if value is None or value is False:
            continue
        if value is True:
            words.append(option)
        elif isinstance(value, (list, tuple)):
            words.extend(f"{option}={one}" for one in value)
        else:
            words.append(f"{option}={value}")
    return words


def ask(words: Sequence[str]) -> Any:
    """What the program prints as JSON for these arguments."""
    done = subprocess.run([find_binary(), *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8")
    if done.returncode != 0:
        raise GreenformersError(message_of(done.stderr))
    return json.loads(done.stdout)


def message_of(stderr: str) -> str:
    """The program's own message, without the word in front of it.

    >>> message_of("error: there is no hardware `x`")
    'there is no hardware `x`'
    """
    text = stderr.strip()
    return text[len("error: ") :] if text.startswith("error: ") else text
