"""``python -m inc_core`` is the command ``inc``."""

from inc_core.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
