"""What users of PyTorch Connectomics v1 bring: its configuration files and its checkpoints."""
