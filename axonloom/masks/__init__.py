"""Binary masks of volumes: where there is something."""
