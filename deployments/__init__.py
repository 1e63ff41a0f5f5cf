"""Where flows run: the Prefect server, work pools, schedules."""
