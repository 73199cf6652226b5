"""Training and evaluation pictures that have nothing in common: no photographer, no package, no scene.

Two photographs belong together if a groups file gives them the same photographer, package or scene, if their Exif data
name the same artist, or if they look alike; without a groups file also if they lie in the same folder. What belongs
together goes to one side.
"""

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from psf import InputError
from psf.errors import one_line
from render.noise import write_whole

from .fingerprints import NEAR_BITS, find_lookalikes
from .photo_folder import PhotoFolder

GROUPS_NAME = "groups.csv"
COLUMNS = ("photographer", "package", "scene")
HEADER = {"format": "psfield photo split", "version": 1}
Labels = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Split:
    """Names of photographs for training and for evaluation.

    Attributes:
        training: In order.
        evaluation: In order.
        labels: For each name what it belongs to: kind ("photographer", "scene", "looks" ...) -> whose.
    """

    training: tuple[str, ...]
    evaluation: tuple[str, ...]
    labels: Labels

    def find_shared(self) -> list[str]:
        """What training and evaluation have in common, one line each; nothing in a good split."""
        sides = [
            {(k, v) for n in names for k, v in self.labels[n].items()} for names in (self.training, self.evaluation)
        ]
        shared = [f"{kind} {value!r} in training and evaluation" for kind, value in sorted(sides[0] & sides[1])]
        return shared + [f"{name} in both" for name in sorted({*self.training} & {*self.evaluation})]

    def save(self, path: str | Path) -> None:
        """Write the manifest, as JSON."""
        write_whole(path, (json.dumps({**HEADER, **asdict(self)}, indent=1, ensure_ascii=False) + "\n").encode())


def load_split(path: str | Path) -> Split:
    """Read a manifest, and refuse one whose two sides have something in common."""
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file")
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
        if {key: fields.pop(key) for key in HEADER} != HEADER:
            raise ValueError("another format or version")
        split = Split(tuple(fields["training"]), tuple(fields["evaluation"]), fields["labels"])
        shared = split.find_shared()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(str(file), f"no split ({error})", f"a manifest with {HEADER}") from error
    if shared:
        raise InputError(str(file), f"{len(shared)} things shared, first {shared[0]}", "sides that share nothing")
    return split


def split_photos(
    folder: PhotoFolder,
    *,
    share: float,
    generator: torch.Generator,
    groups: str | Path | None = None,
    pattern: str | None = None,
    within_bits: int = NEAR_BITS,
) -> Split:
    """Divide photographs so that the two sides share no photographer, package, scene or look.

    Args:
        folder: The photographs.
        share: Of the photographs that go to evaluation, roughly: what belongs together is not divided.
        generator: Random numbers.
        groups: A CSV file with the column `file` and some of `photographer`, `package`, `scene`; empty cells say
            nothing. By default `groups.csv` in the folder, if there is one, else folders are the groups.
        pattern: A regular expression that finds the group in a photograph's name, in place of folders: what its first
            brackets hold, or all that it matches.
        within_bits: Photographs whose fingerprints differ in at most so many of 64 bits look alike.
    """
    if not 0 < share < 1:
        raise InputError("split_photos(share)", share, "between 0 and 1")
    if not 0 <= within_bits < 32:
        raise InputError("split_photos(within_bits)", within_bits, "0 to 31")
    labels = find_labels(folder, groups=groups, pattern=pattern, within_bits=within_bits)
    names = list(labels)
    parts = _join_alike(names, labels)
    if len(parts) < 2:
        expected = "at least two; say who took what in groups.csv"
        raise InputError(str(folder.root), f"one group of all {len(names)} photographs", expected)
    wanted = max(share * len(names), 1)
    evaluation: list[str] = []
    largest = max(len(part) for part in parts)
    for n in torch.randperm(len(parts), generator=generator, device=generator.device).tolist():
        part = parts[n]
        # The largest part stays in training, and a part is taken only if that comes nearer to the share.
        lone_largest = len(part) == largest and len(evaluation) + len(part) > len(names) - largest
        if not lone_largest and abs(len(evaluation) + len(part) - wanted) < abs(len(evaluation) - wanted):
            evaluation += part
    if not evaluation:
        evaluation = sorted(parts, key=len)[0]
    chosen = set(evaluation)
    return Split(tuple(n for n in names if n not in chosen), tuple(sorted(chosen)), labels)


def find_labels(
    folder: PhotoFolder, *, groups: str | Path | None = None, pattern: str | None = None, within_bits: int = NEAR_BITS
) -> Labels:
    """What each photograph belongs to, by name; see `split_photos` for the arguments."""
    labels: Labels = {one.name: {"artist": one.artist} if one.artist else {} for one in folder.photos}
    file = folder.root / GROUPS_NAME if groups is None else Path(groups)
    if pattern is not None:
        _label_by_pattern(labels, pattern)
    elif groups is not None or file.is_file():
        _label_by_file(labels, file, {one.name for one in folder.unusable})
    else:
        for name in labels:
            parent = Path(name).parent.as_posix()
            if parent != ".":
                labels[name]["folder"] = parent
    looks = _Sets(len(folder.photos))
    for one, other in find_lookalikes([photo.fingerprint for photo in folder.photos], within_bits):
        looks.join(one, other)
    for members in looks.find_sets():
        if len(members) > 1:
            for n in members:
                labels[folder.photos[n].name]["looks"] = f"like {folder.photos[members[0]].name}"
    return labels


def _label_by_pattern(labels: Labels, pattern: str) -> None:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise InputError("pattern", f"{pattern!r} ({error})", "a regular expression") from error
    for name, own in labels.items():
        match = expression.search(name)
        if match is None:
            raise InputError("pattern", f"nothing in {name!r} like {pattern!r}", "a group in every name")
        own["group"] = match.group(1) if expression.groups else match.group()


def _label_by_file(labels: Labels, file: Path, unusable: set[str]) -> None:
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file")
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            reader = csv.DictReader(opened)
            found, rows = reader.fieldnames or [], list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(str(file), f"no CSV in UTF-8 ({one_line(error)})", "a file saved as such") from error
    if "file" not in found or not set(found) & set(COLUMNS):
        raise InputError(str(file), f"columns {', '.join(found)}", f"file and some of {', '.join(COLUMNS)}")
    told = {row["file"]: row for row in rows}
    if missing := [name for name in labels if name not in told]:
        raise InputError(str(file), f"{len(missing)} photographs not in it, first {missing[0]}", "a line for each")
    if foreign := [name for name in told if name not in labels and name not in unusable]:
        raise InputError(
            str(file), f"{len(foreign)} names without a photograph, first {foreign[0]}", "names in the folder"
        )
    for name, own in labels.items():
        own.update({kind: value.strip() for kind in COLUMNS if (value := told[name].get(kind) or "").strip()})


class _Sets:
    """Which of N things are joined."""

    def __init__(self, count: int) -> None:
        self.parents = list(range(count))

    def find(self, n: int) -> int:
        while self.parents[n] != n:
            self.parents[n] = self.parents[self.parents[n]]
            n = self.parents[n]
        return n

    def join(self, one: int, other: int) -> None:
        a, b = sorted((self.find(one), self.find(other)))
        self.parents[b] = a

    def find_sets(self) -> list[list[int]]:
        found: dict[int, list[int]] = {}
        for n in range(len(self.parents)):
            found.setdefault(self.find(n), []).append(n)
        return list(found.values())


def _join_alike(names: Sequence[str], labels: Labels) -> list[list[str]]:
    """Names that share a label, directly or through others, in parts."""
    sets, first = _Sets(len(names)), dict[tuple[str, str], int]()
    for n, name in enumerate(names):
        for label in labels[name].items():
            sets.join(first.setdefault(label, n), n)
    return [[names[n] for n in members] for members in sets.find_sets()]
