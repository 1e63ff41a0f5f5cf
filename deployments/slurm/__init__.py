"""A Prefect worker that runs each flow run as one SLURM job."""
