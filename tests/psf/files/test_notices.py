"""What reading tells."""

from psf.files.notices import Notice, unique


def test_notice_names_file_and_line():
    assert str(Notice("a.txt", 7, "skipped", "a line")) == "a.txt:7: skipped: a line"
    assert str(Notice("a.txt", 0, "lost", "light")) == "a.txt: lost: light"


def test_what_holds_for_many_files_is_told_once():
    many = [Notice(f"{n}.txt", 3, "skipped", "a line") for n in range(4)] + [Notice("b", 0, "lost", "a line")]
    assert [str(one) for one in unique(many)] == ["0.txt:3: skipped: a line (and 3 more)", "b: lost: a line"]
