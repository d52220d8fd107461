"""The user's configuration: read, checked, frozen."""
