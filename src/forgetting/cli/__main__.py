"""`python -m forgetting.cli`: the command line without its script on the path."""

from forgetting.cli import app

app()
