"""Lens prescriptions and glass data; `README.md` beside this file describes them."""

from pathlib import Path

DIRECTORY = Path(__file__).parent
