"""Csv files whose cells hold any name of a file."""

import pandas as pd
import pytest

from builder_tools.csv_files import DELIMITERS, read_any_csv, read_csv, write_csv, write_table

NAMES = ["a\rb", "a\r\nb", "a\nb", "\r", "a,b", 'a"b', "лицо", "line\u2028separator", "caf\udce9"]


def test_every_name_reads_back(tmp_path):
    rows = [[name, str(number)] for number, name in enumerate(NAMES)]
    write_csv(tmp_path / "a.csv", ("name", "number"), rows)
    assert read_csv(tmp_path / "a.csv") == [["name", "number"], *rows]
    write_table(tmp_path / "b.csv", pd.DataFrame(rows, columns=["name", "number"], dtype=object))
    assert (tmp_path / "b.csv").read_bytes() == (tmp_path / "a.csv").read_bytes()
    with pd.option_context("mode.string_storage", "python"):  # as the command line has it
        read = pd.read_csv(tmp_path / "b.csv", encoding_errors="surrogateescape")
    assert read["name"].tolist() == NAMES


@pytest.mark.parametrize("name", ["plain", "a b"])
def test_lines_end_in_line_feeds_alone(tmp_path, name):
    write_csv(tmp_path / "a.csv", ("name",), [[name]])
    assert (tmp_path / "a.csv").read_bytes() == f"name\n{name}\n".encode()


@pytest.mark.parametrize("delimiter", DELIMITERS)
@pytest.mark.parametrize("line", ["sep={}", '"sep={}"'])
def test_the_line_of_a_spreadsheet_that_names_the_delimiter_is_no_row(line, delimiter, tmp_path):
    text = "\r\n".join([line.format(delimiter), delimiter.join("ab"), delimiter.join("12"), ""])
    (tmp_path / "a.csv").write_text(text, encoding="utf-16", newline="")
    assert read_any_csv(tmp_path / "a.csv") == [["a", "b"], ["1", "2"]]


def test_the_delimiter_that_a_file_names_is_used_though_its_header_holds_more_of_others(tmp_path):
    (tmp_path / "a.csv").write_text("sep=;\nname;sad, angry, calm\n1;2\n")
    assert read_any_csv(tmp_path / "a.csv") == [["name", "sad, angry, calm"], ["1", "2"]]
