"""Every benchmark of the house in one command, and one report: `python -m benchmarks`, from the repository's folder.

    python -m benchmarks                                    # all that this machine allows, within half an hour
    python -m benchmarks --list                             # what there is, how long it takes, what it needs
    python -m benchmarks --only tracing psf_grid            # some of them
    python -m benchmarks --photos PHOTOS --peer-python peers/bin/python
    python -m benchmarks --minutes 0                        # runs nothing, writes the report of what has been measured

Each is a script of this folder and runs in a process of its own. What it printed is kept in OUT/NAME.json: the same
command goes on where it was stopped, and measures again only what has changed since. OUT/report.md begins with the
table of figures of the README; OUT/report.json holds the same for machines.
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from psf.arguments import ArgumentError, parse_arguments
from psf.errors import InputError
from psf.runs import whole_file, write_json

from .collection import COLLECTION, HERE, SHARED, Benchmark

ROOT = HERE.parent
PACKAGES = ("psf", "optics", "render", "learn", "benchmarks", "lenses")
# A benchmark that takes so many times what it should is stopped.
PATIENCE = 4.0
ASK_VERSIONS = "import importlib.metadata as m; print([(d.name, d.version) for d in m.distributions()])"


@dataclass(frozen=True)
class Args:
    """Run every benchmark that this machine allows, and write one report."""

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("out/benchmarks")
    """Folder for report.md, report.json and a file for each benchmark; it is made."""
    only: tuple[str, ...] = ()
    """Names of --list."""
    photos: Path | None = None
    """A folder of photographs, for those that need one."""
    peer_python: str | None = None
    """The Python of an environment that has peers (deeplens-core, optiland), if it is not this one."""
    minutes: float = 30.0
    """What would not fit into them any more, by its usual time on two quiet cores, is left for the next run."""
    redo: bool = False
    """Measure again what has been measured."""
    list: bool = False
    """Say what there is, and run nothing."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 for done, 1 if one failed, 2 for input that cannot be used, 130 for Ctrl-C."""
    try:
        description = (__doc__ or "").replace("\n\n    python", "\n\n    python")
        args = parse_arguments(lambda: tyro.cli(Args, args=argv, prog="python -m benchmarks", description=description))
        return run(args)
    except (ArgumentError, InputError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where this stopped", file=sys.stderr)
        return 130


def run(args: Args) -> int:
    """Run what is to be run, and write the report after each."""
    known = {one.name: one for one in COLLECTION}
    if unknown := [name for name in args.only if name not in known]:
        raise InputError("--only", unknown[0], " or ".join(known))
    if args.photos is not None and not args.photos.is_dir():
        raise FileNotFoundError(f"{args.photos}: no such folder of photographs")
    if args.list:
        print(list_all())
        return 0
    chosen = [known[name] for name in args.only] or list(COLLECTION)
    peers = find_versions(args.peer_python) if args.peer_python else None
    args.out.mkdir(parents=True, exist_ok=True)
    state, left, failed = hash_source(), args.minutes, False
    reasons: dict[str, str] = {}
    for one in chosen:
        command, reason = make_command(one, args, peers)
        if not command:
            reasons[one.name] = reason
        elif not args.redo and read_record(args.out, one).get("state") == [state, command[1:]]:
            print(f"{one.name}: measured before")
        elif one.minutes > left:
            reasons[one.name] = f"{one.minutes:g} min more than are left of --minutes {args.minutes:g}"
        else:
            print(f"{one.name}: {one.title}, some {one.minutes:g} min", flush=True)
            record = measure(one, command, state)
            write_json(args.out / f"{one.name}.json", record)
            left -= record["seconds"] / 60
            failed |= record["exit_code"] != 0
        write_report(args.out, state, reasons)
    for name, reason in reasons.items():
        print(f"{name}: left out, {reason}")
    for name in ("report.md", "report.json"):
        print(f"written: {args.out / name}")
    return int(failed)


def list_all() -> str:
    """What there is, and the scripts that are run by hand."""
    rows = [f"{'name':20} {'min':>4}  what"]
    for one in COLLECTION:
        needs = [f"shared/{one.shared}"] * bool(one.shared) + ["--photos"] * one.photos + [one.peer] * bool(one.peer)
        extra = f" ({', '.join(needs)})" if needs else ""
        rows.append(f"{one.name:20} {one.minutes:4g}  {one.title}{extra}")
    rows += ["", "by hand, for they train networks or need what others have made:"]
    for path in find_others():
        first = path.read_text(encoding="utf-8").split('"""', 2)[1].splitlines()[0]
        rows.append(f"  benchmarks/{path.name:26} {first}")
    return "\n".join(rows)


def find_others() -> list[Path]:
    """Scripts of this folder that are none of the collection's."""
    ours = {one.script for one in COLLECTION} | {Path(__file__)}
    return sorted(p for p in HERE.glob("*.py") if p not in ours and '__name__ == "__main__"' in p.read_text("utf-8"))


def make_command(one: Benchmark, args: Args, peers: dict[str, str] | None) -> tuple[list[str], str]:
    """The words to start it with, or nothing and the reason."""
    if one.shared and not (SHARED / one.shared).is_dir():
        return [], f"no folder {SHARED.name}/{one.shared} beside the repository"
    if one.photos and args.photos is None:
        return [], "it needs --photos"
    python, words = sys.executable, list(one.words[1:])
    if one.photos:
        words.insert(0, str(args.photos))
    if args.peer_python and peers is not None and one.peer in peers:
        if one.peer_option:
            words += [one.peer_option, args.peer_python]
        elif {"torch", "numba", "h5py", "tyro"} <= set(peers):  # it then runs there as a whole
            python = args.peer_python
    return [python, f"benchmarks/{one.words[0]}", *words], ""


def measure(one: Benchmark, command: list[str], state: str) -> dict[str, Any]:
    """Run it, and keep all that it said."""
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONWARNINGS": "ignore", "COLUMNS": "200"}
    start, load = time.perf_counter(), find_load()
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        output, errors = process.communicate(timeout=60 * PATIENCE * one.minutes)
        code = process.returncode
    except subprocess.TimeoutExpired:
        process.kill()
        output, errors = process.communicate()
        code, errors = -1, f"stopped after {60 * PATIENCE * one.minutes:.0f} s\n{errors}"
    seconds = time.perf_counter() - start
    if code:
        print(f"{one.name}: exit code {code}: {(errors.strip().splitlines() or ['it said nothing'])[-1]}")
    # A failure is not kept as measured: the next run tries again.
    kept = [state, command[1:]] if code == 0 else None
    told = {"name": one.name, "title": one.title, "command": command[1:], "state": kept, "exit_code": code}
    return {**told, "seconds": round(seconds, 1), "load": [load, find_load()], "output": output, "errors": errors}


def read_record(folder: Path, one: Benchmark) -> dict[str, Any]:
    """What `measure` has left of an earlier run; empty if there is nothing, or nothing whole."""
    try:
        found: dict[str, Any] = json.loads((folder / f"{one.name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def write_report(folder: Path, state: str, reasons: dict[str, str]) -> None:
    """report.md and report.json of everything that lies in the folder."""
    records = {one.name: record for one in COLLECTION if (record := read_record(folder, one))}
    rows: list[dict[str, str]] = []
    for one in COLLECTION:
        record = records.get(one.name, {})
        for figure in one.figures if record else ():
            ours, theirs = figure.find(record["output"])
            if ours:
                rows.append({"what": figure.text, "psfield": ours, "peer": theirs, "command": say(record["command"])})
                rows[-1]["peer_name"] = one.peer if theirs else ""
    machine = describe_machine()
    write_json(folder / "report.json", {"machine": machine, "figures": rows, "left_out": reasons, "runs": records})
    text = ["# Benchmarks", "", "; ".join(f"{key} {value}" for key, value in machine.items()), "", "## Figures", ""]
    text += ["| | psfield | peer | command |", "| --- | --- | --- | --- |"]
    for row in rows:
        peer = f"{row['peer']} ({row['peer_name']})" if row["peer"] else ""
        text.append(f"| {row['what']} | {row['psfield']} | {peer} | `{row['command']}` |")
    for name, record in records.items():
        changed = "" if (record["state"] or [""])[0] == state else ", of an earlier state of the source"
        load = ", ".join(f"{one:.1f}" for one in record["load"])
        text += ["", f"## {name}: {record['title']}", "", f"`{say(record['command'])}`: {record['seconds']:.0f} s, "]
        text[-1] += f"load {load} at its begin and end{changed}"
        text += ["", "```text", record["output"].strip() or record["errors"].strip()[-2000:], "```"]
    if reasons:
        text += ["", "## Left out", "", *(f"* {name}: {reason}" for name, reason in reasons.items())]
    with whole_file(folder / "report.md") as part:
        part.write_text("\n".join(text) + "\n", encoding="utf-8")


def say(words: Sequence[str]) -> str:
    """A command as it is typed."""
    return " ".join(["python", *words])


def hash_source() -> str:
    """Of everything that a figure may hang on."""
    found = hashlib.sha256()
    for path in sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py")):
        found.update(f"{path.relative_to(ROOT).as_posix()}\0".encode() + path.read_bytes())
    return found.hexdigest()[:16]


def find_versions(python: str) -> dict[str, str]:
    """Distributions of another Python, with their versions."""
    try:
        done = subprocess.run([python, "-c", ASK_VERSIONS], capture_output=True, text=True, timeout=120, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise InputError("--peer-python", python, "a Python that starts") from error
    pairs = done.stdout.strip().strip("[]()").replace("'", "").split("), (")
    return {name.strip().lower(): version for name, _, version in (pair.partition(", ") for pair in pairs)}


def find_load() -> float:
    """Of the last minute, where the system tells."""
    return round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else 0.0


def describe_machine() -> dict[str, str]:
    """What figures are of."""
    versions = {name: importlib.metadata.version(name) for name in ("torch", "numpy", "numba")}
    about = {"date": time.strftime("%Y-%m-%d"), "machine": platform.machine(), "cores": str(os.cpu_count())}
    return {**about, "Python": platform.python_version(), **versions, "load": str(find_load())}


if __name__ == "__main__":
    sys.exit(main())
