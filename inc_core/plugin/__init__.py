"""Plugins: discovered through entry points, checked, and their components found by name."""

from inc_core.plugin.record import PluginRecord
from inc_core.plugin.registry import Plugins, get_plugins

__all__ = ["PluginRecord", "Plugins", "get_plugins"]
