"""From frozen objects to rows as lines of JSON: one module per way in which rows stand in an object."""

from sluice.rows.containers.inputs import Limits, lines_of_input
from sluice.rows.containers.kinds import (
    LEAST_HEAD,
    SUFFIXES,
    Codec,
    Container,
    Rows,
    container_of,
    left_out,
    unreadable,
)
from sluice.rows.containers.lines import lines_of, split_lines
from sluice.rows.containers.reading import Reading

__all__ = [
    "LEAST_HEAD",
    "SUFFIXES",
    "Codec",
    "Container",
    "Limits",
    "Reading",
    "Rows",
    "container_of",
    "left_out",
    "lines_of",
    "lines_of_input",
    "split_lines",
    "unreadable",
]
