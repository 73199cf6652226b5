"""The command `python -m learn.synthesise`: fixed sets of samples as shards."""

__all__ = []
