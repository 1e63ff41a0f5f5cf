"""Prefect tasks: a batch of blocks, a stretch of training; retries, caching, artifacts."""
