"""The two errors that featinv raises on purpose; nothing here imports anything."""


class BadInput(ValueError):
    """What the caller gave cannot be used; the message names the file or flag, what was expected and what was given.

    Recipes and the console command print it as one line and leave with exit code 2.
    """


class Diverged(RuntimeError):
    """Training produced a number that is not finite; the message names the term and the step."""
