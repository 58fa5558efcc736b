"""What `sluice init` takes a CSV file for, and writes down."""

from __future__ import annotations

import pytest

from sluice.cli.csv_guess import csv_lines, guessed_form


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"id,text\n1,a b\n2,c\n", None),
        (b"id;text\n1;a, b\n2;c, d\n", "{separator: ;}"),
        (b"id|text\n1|a\n2|b\n", "{separator: '|'}"),
        (b"id\ttext\n1\ta, b\n2\tc\n", '{separator: "\\t"}'),
        ("id,text\n1,café\n".encode("cp1252"), "{encoding: cp1252}"),
        (b"id,text\n1,caf\x81\n", "{encoding: iso8859-1}"),
        ("id;text\n1;café\n".encode("utf-16"), "{separator: ;, encoding: utf-16}"),
        ("id,text\n1,café\n".encode(), None),
        (b"1,my card is lost\n2,refund me\n", "{header: false}"),
        (b'id,text\n1,"he said \\"hi\\", x"\n2,b\n', "{escape: \\}"),
        (b"My report\n\nid,text\n1,x\n", "{skip: 2}"),
        (b"sep=;\nid;text\n1;x\n", None),
        (b"text\nhello, you\nyou, too, my\n", None),
        (b"", None),
    ],
)
def test_a_file_is_taken_for_what_its_first_rows_show(head: bytes, said: str | None) -> None:
    """Each departure from the usual form is written down for a person to check; the usual form is not."""
    lines = csv_lines(guessed_form(head, ",", whole=True))
    assert lines == ([] if said is None else [f"  csv: {said}  # as the first rows look; check it"])


@pytest.mark.parametrize(
    ("head", "header"),
    [
        (b"no,review\n1,good\n2,bad\n", True),
        (b"null,none\na,b\nc,d\n", True),
        (b"great,yes\nbad,no\n", False),
        (b"true,great\nfalse,bad\n", False),
    ],
)
def test_no_is_the_name_of_a_column_or_a_value(head: bytes, header: bool) -> None:
    """It is a value where the rows below it have such a word in the same place."""
    form = guessed_form(head, ",", whole=True)
    assert (form is None or form.header) is header
