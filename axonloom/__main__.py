"""``python -m axonloom`` is the command ``axonloom``. The one file here that may import ``cli``."""

from cli.main import main

main()
