"""Prefect flows: one file a job that a person would name."""
