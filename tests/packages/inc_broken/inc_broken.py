"""A third party's plugin that was built for another version of its framework."""

raise ImportError("inc_broken needs libgone.so.3, and found libgone.so.4")
