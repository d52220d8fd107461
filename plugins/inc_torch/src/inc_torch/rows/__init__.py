"""The rows of the op table, one file for each mode."""
