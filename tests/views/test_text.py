import pytest

from toolkit.views.text import duration, table


def test_a_table_is_cut_to_the_terminal_and_keeps_one_line_a_row() -> None:
    lines = table(["run", "error"], [[3, "two\nlines of a message"]], width=15).splitlines()
    assert lines == ["run  error", "  3  two lines…"]


def test_numbers_stand_to_the_right() -> None:
    lines = table(["n", "x"], [[1, 0.5], [123456, 2.25]]).splitlines()
    assert lines == ["      n     x", "      1   0.5", "123,456  2.25"]


def test_a_table_without_rows_is_its_header() -> None:
    assert table(["a", "b"], []) == "a  b"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2e-7, "0.2 us"), (0.5, "500 ms"), (3, "3.0 s"), (75, "75 s"), (600, "10 min 00 s")],
)
def test_durations_have_the_unit_that_fits(seconds: float, text: str) -> None:
    assert duration(seconds) == text
