import pytest

from learn.dfd.__main__ import main
from learn.dfd.depth_stream import open_shelf


@pytest.fixture(scope="module")
def files(fields, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fields")
    paths = [folder / f"F_{one.focus_m:g}.h5" for one in fields]
    for path, field in zip(paths, fields, strict=True):
        field.save(path)
    return [str(path) for path in paths]


QUICK = ["--shape-px", "32", "32", "--scenes", "one_plane", "--blur", "blend"]


def test_stacks_are_made_and_read(files, tmp_path, capsys):
    words = ["make-stacks", "--fields", *files, *QUICK, "-n", "2", "--workers", "0", "-o", str(tmp_path / "shards")]
    assert main(words) == 0
    assert "written: 2 focal stacks in 1 shards" in capsys.readouterr().out
    shelf = open_shelf(tmp_path / "shards")
    assert [shelf.read(n).drawn.index for n in range(len(shelf))] == [0, 1]


def test_photographs_that_are_too_small_are_named(files, photo_root, tmp_path, capsys):
    words = ["make-stacks", "--fields", *files, *QUICK, "-n", "1", "--workers", "0", "-o", str(tmp_path / "shards")]
    more = ["--photos", str(photo_root), "--index", str(tmp_path / "i.jsonl"), "--shape-px", "100", "100"]
    assert main([*words, *more]) == 0
    assert "written: 1 focal stacks" in capsys.readouterr().out


def test_a_page_is_drawn(files, tmp_path, capsys):
    out = tmp_path / "page.png"
    assert main(["preview", "--fields", *files, *QUICK, "-n", "2", "-o", str(out)]) == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    assert str(out) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: ["--fields", f[0]], "fields: found 1 of them, expected at least 2"),
        (lambda f: ["--fields", f[0], f[2], f[1]], "fields[2].focus_m: found 0.72 m after 1.415 m"),
        (lambda f: ["--fields", f[0], "gone.h5"], "gone.h5"),
        (lambda f: ["--fields", *f, "--scenes", "photos"], "found 'photos' without photographs"),
        (lambda f: ["--fields", *f, "--depth-m", "0.1", "1"], "fields[0].depths_m"),
        (lambda f: ["--fields", *f, "--bits", "40"], "settings.bits: found 40"),
        (lambda f: ["--fields", *f, "--scenes", "cubes"], "cubes"),
        (lambda f: ["--fields", *f, "--sensor-noise", "none"], "--noise none leaves the noise out"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(files, tmp_path, capsys, change, words):
    assert (
        main(["make-stacks", *change(files), "--shape-px", "32", "32", "-n", "1", "-o", str(tmp_path / "shards")]) == 2
    )
    told = capsys.readouterr().err.strip()
    assert told.startswith("error: ")
    assert words in told
    assert "\n" not in told
    assert not (tmp_path / "shards").exists()


def test_a_page_has_a_suffix(files, tmp_path, capsys):
    assert main(["preview", "--fields", *files, "-o", str(tmp_path / "page.txt")]) == 2
    assert "--out: found the suffix '.txt', expected .png" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train", "network.pt, log.csv"),
        ("evaluate", "Measure estimators of depth"),
        ("apply", "Find depth in a folder of photographs"),
    ],
)
def test_every_command_says_what_it_does(command, words, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code in (0, None)
    assert words in " ".join(capsys.readouterr().out.replace("│", " ").split())


@pytest.mark.parametrize(
    ("make_words", "words"),
    [
        (lambda f, t: ["train", "--fields", f[0], "-o", f"{t}/run"], "fields: found 1 of them, expected at least 2"),
        (lambda f, t: ["train", "--fields", f[0], "gone.h5", "-o", f"{t}/run"], "gone.h5"),
        (lambda f, t: ["evaluate", "--fields", f[0], "-o", f"{t}/run"], "fields: found 1 of them, expected at least 2"),
        (
            lambda f, t: ["evaluate", "--fields", *f, *QUICK, "--model", "net.pt", "-o", f"{t}/run"],
            "NAME=RUN/network.pt",
        ),
        (lambda f, t: ["evaluate", "--fields", *f, "-o", f"{t}/none/run"], "no such folder"),
        (lambda f, t: ["apply", f"{t}/none", "--fields", *f, "--method", "likelihood", "-o", f"{t}/d.npy"], "none"),
        (lambda f, t: ["apply", str(t), "--fields", *f, "-o", f"{t}/d.npy"], "--model, --method: found neither"),
    ],
)
def test_what_cannot_be_learned_judged_or_applied_is_said_in_one_line(files, tmp_path, capsys, make_words, words):
    assert main(make_words(files, tmp_path)) == 2
    told = capsys.readouterr().err.strip()
    assert told.startswith("error: ")
    assert words in told
    assert "\n" not in told
    assert not list(tmp_path.iterdir())


def test_the_likelihood_is_judged(files, tmp_path, capsys):
    words = [
        "evaluate",
        "--fields",
        *files,
        *QUICK[:3],
        "--judge",
        "one_plane",
        "--depths",
        "2",
        "--textures-each",
        "1",
    ]
    more = ["--methods", "middle", "likelihood", "--shown", "0", "--workers", "0", "-o", str(tmp_path / "run")]
    assert main([*words, *more]) == 0
    assert "likelihood" in capsys.readouterr().out
