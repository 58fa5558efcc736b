"""The share of all rows that truly has each label, as drawn rows tell, in run.json and in words."""

from __future__ import annotations

import msgspec

from sluice.figures import percent, short_model


class ShareOfLabel(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that would be `given` a label had none been drawn; the share that truly has it, with its 95% interval.

    `plain`: by the drawn rows' true labels alone.
    """

    label: str
    given: int
    share: float
    low: float
    high: float
    plain: bool


class RunLabelShares(msgspec.Struct, frozen=True, kw_only=True):
    """The most frequent labels, of `rows` that models were asked about, measured on `drawn` ones of `records` texts.

    True is what the `oracle` says, the last tier; a drawn row that it has no valid answer to truly has no label.
    """

    rows: int
    drawn: int
    records: int
    oracle: str
    labels: list[ShareOfLabel]

    @property
    def note(self) -> str:
        """What it is measured on."""
        alone = all(each.plain for each in self.labels)
        how = "by those rows alone" if alone else "what was given, corrected by the errors in those rows"
        return (
            f"Of {self.rows:,} rows, as {short_model(self.oracle)} gives them: measured on {self.drawn:,} uniformly "
            f"drawn rows of {self.records:,} texts, {how}"
        )

    def table(self) -> list[tuple[str, str, str, str]]:
        """Label, share that was given, share that is true, and its interval."""
        return [
            (
                each.label,
                percent(each.given, self.rows),
                percent(each.share, 1),
                f"{percent(each.low, 1)} to {percent(each.high, 1)}",
            )
            for each in self.labels
        ]
