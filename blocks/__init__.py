"""Prefect Blocks: typed configuration that is saved on the server and picked by name."""
