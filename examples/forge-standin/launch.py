"""Entry point: `python launch.py [options]`, with Forge's launch contract (see README.md)."""

from __future__ import annotations

from modules import launch_utils
from modules.cmd_args import parse_arguments


def main() -> None:
    """Check the environment unless told not to, then start the web application."""
    args = parse_arguments()
    if not args.skip_prepare_environment:
        launch_utils.prepare_environment(args)
    if args.exit:
        return
    launch_utils.start(args)


if __name__ == "__main__":
    main()
