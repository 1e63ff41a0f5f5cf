"""One page that says what a run was, what it made, and how to make it again."""
