"""The subcommands of ``inc``: one file each, with ``add_arguments`` and ``run``."""
