"""`python -m proxy`, and the command `yizhan`."""

from __future__ import annotations

from .cli import yizhan


def main() -> None:
    """Run the command line; it ends the process with the status of the command."""
    yizhan(prog_name="yizhan")


if __name__ == "__main__":
    main()
