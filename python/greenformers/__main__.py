"""``python -m greenformers`` is the program itself."""

import subprocess
import sys

from ._binary import GreenformersError, find_binary


def main() -> int:
    """Runs the program with the arguments of this one, and returns its exit code."""
    try:
        return subprocess.call([find_binary(), *sys.argv[1:]])
    except GreenformersError as error:
        print(f"error: {error}", file=sys.stderr)
        return 127


if __name__ == "__main__":
    sys.exit(main())
