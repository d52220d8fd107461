"""The accuracy-driven tuning loop and what it keeps."""
