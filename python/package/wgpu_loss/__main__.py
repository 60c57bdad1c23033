"""The program ``wgpu-loss``."""

import sys

from . import _native


def main() -> int:
    """Run the program with this process's arguments, and return its exit status."""
    return _native.main(["wgpu-loss", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
