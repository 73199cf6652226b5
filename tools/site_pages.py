"""Hooks of the documentation site (mkdocs.yml): pages that stand elsewhere in the repository, and links to its files.

A link in a page is written as it is on disk, so that it also leads somewhere for whoever reads the repository. Here it
is led to the page that the file has become; the name of a file that is no page stays as words.
"""

import os
import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# Files outside docs, and the pages that they become.
TAKEN = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "lenses/README.md": "reference/lens_files.md",
    "examples/object_scan.md": "how_to/object_scan.md",
}
# The front page of the repository is not that of the site, and says the same.
INSTEAD = {"README.md": "index.md"}
LINK = re.compile(r"(?<!!)\[(?P<words>(?:[^\[\]]|`[^`]*`)+)\]\((?P<target>[^)\s#]+)(?P<anchor>#[^)\s]*)?\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.DOTALL | re.MULTILINE)


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that stand elsewhere."""
    from mkdocs.structure.files import File

    for origin, page in TAKEN.items():
        files.append(File.generated(config, page, content=(ROOT / origin).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Lead links to pages; what is no page stays as words."""
    origins = {place: origin for origin, place in TAKEN.items()}
    origin = origins.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    parts, end = [], 0
    for fence in FENCE.finditer(markdown):
        parts += [lead(markdown[end : fence.start()], origin, page.file.src_uri), fence.group()]
        end = fence.end()
    return "".join([*parts, lead(markdown[end:], origin, page.file.src_uri)])


def lead(text: str, origin: str, page: str) -> str:
    """The links of a text, as they are on the site.

    Args:
        text: Markdown.
        origin: Its file, from the repository's folder.
        page: Its page, from the site's.
    """

    def replace(found: re.Match[str]) -> str:
        target = found["target"]
        if re.match(r"[a-z][a-z+.-]*:", target):
            return found.group()
        path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))
        place = TAKEN.get(path) or INSTEAD.get(path)
        if place is None and path.startswith("docs/"):
            place = path.removeprefix("docs/")
        if place is None:
            return found["words"] if (ROOT / path).exists() else found.group()
        relative = os.path.relpath(place, posixpath.dirname(page) or ".").replace(os.sep, "/")
        return f"[{found['words']}]({relative}{found['anchor'] or ''})"

    return LINK.sub(replace, text)
