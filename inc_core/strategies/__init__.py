"""Built-in tuning strategies, one algorithm per file."""
