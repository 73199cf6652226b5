"""The command `python -m learn.preview`: pages that show what a network will see."""

__all__ = []
