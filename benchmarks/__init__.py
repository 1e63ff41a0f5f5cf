"""What is measured, with the command that repeats it. Nothing here is a test."""
