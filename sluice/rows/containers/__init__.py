"""From frozen objects to rows as lines of JSON: one module per way in which rows stand in an object."""

from sluice.rows.containers.inputs import Limits, lines_of_input
from sluice.rows.containers.kinds import HEAD_BYTES, SUFFIXES, Codec, Container, Rows, container_of, unreadable
from sluice.rows.containers.lines import lines_of, split_lines

__all__ = [
    "HEAD_BYTES",
    "SUFFIXES",
    "Codec",
    "Container",
    "Limits",
    "Rows",
    "container_of",
    "lines_of",
    "lines_of_input",
    "split_lines",
    "unreadable",
]
