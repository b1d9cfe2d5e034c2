"""Csv files whose cells hold any name of a file."""

import pandas as pd
import pytest

from builder_tools.csv_files import (
    DELIMITERS,
    read_any_csv,
    read_csv,
    read_sheet,
    read_sheet_columns,
    write_csv,
    write_table,
)

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


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        ("name,mood\na,x\nb,y,\nc,z,,\n", ["name", "mood"], {2: "a x", 3: "b y", 4: "c z"}),
        ("name,mood\na,x,,\nb,y\nc\n", ["name", "mood"], {2: "a x", 3: "b y", 4: "c"}),
        ("name;mood\r\n\r\na;x\r\n;\r\nb;y", ["name", "mood"], {3: "a x", 5: "b y"}),
        (";;\n\nname;a;b\nx;1,5;2,5\n", ["name", "a", "b"], {4: "x 1,5 2,5"}),
        ("sep=;\nname;mood\na;x\n", ["name", "mood"], {3: "a x"}),
        ('"a, b";mood;"c, d, e"\n1;2;3\n', ["a, b", "mood", "c, d, e"], {2: "1 2 3"}),
        ("name;mood, as seen\na;x\n", ["name", "mood, as seen"], {2: "a x"}),
        ('name,mood\na,"x\ny"\nb,z\n', ["name", "mood"], {2: "a x\ny", 4: "b z"}),
        ('"na\nme",mood\na,x\n', ["na\nme", "mood"], {3: "a x"}),
        ('"name" "mood"\n'.replace(" ", "\t") + '"1"\ta\tx\n', ["name", "mood"], {2: "a x"}),
        ("name,mood\ra,x\rb,y\r", ["name", "mood"], {2: "a x", 3: "b y"}),
        ("", [], {}),
    ],
)
def test_what_spreadsheets_make_of_a_table(text, columns, rows, tmp_path):
    """Rows have the numbers of their lines in an editor, whatever is above them."""
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        (tmp_path / "a.csv").write_text(text, encoding=encoding, newline="")
        sheet = read_sheet(tmp_path / "a.csv", named_rows=text.startswith('"name"'))
        found = {number: " ".join(row) for number, row in sheet.rows.items()}
        assert (sheet.columns, found) == (columns, rows)
        if "\n" not in "".join(columns):
            assert read_sheet_columns(tmp_path / "a.csv") == columns


def test_a_cell_without_a_column_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("viewer,offset_s\na,1,25\n")
    with pytest.raises(ValueError, match=r"at most 2 cells.*line 2 of"):
        read_sheet(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("name,mood\na,x\n\nb,y,z\n")
    with pytest.raises(ValueError, match=r"at most 2 cells.*line 4 of .*\['b', 'y', 'z'\]"):
        read_sheet(tmp_path / "a.csv")
