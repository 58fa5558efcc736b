"""The queries that a deployment saves in Athena: what people ask first, over the tasks' current rows and the runs.

They keep to what Athena and DuckDB both understand, so that the tests can run them over real results.
"""

from __future__ import annotations

from typing import NamedTuple


class Query(NamedTuple):
    """A saved query; `{database}` stands where SQL wants the name of the database."""

    name: str
    description: str
    sql: str

    def of(self, database: str) -> str:
        """The statement for one database."""
        return self.sql.format(database=f'"{database}"')


QUERIES = (
    Query(
        "rows by label",
        "How many current rows of each task have each label; a row with several labels counts for each.",
        """\
SELECT task, given.label, count(*) AS row_count,
  round(100.0 * count(*) / sum(count(*)) OVER (PARTITION BY task), 1) AS percent
FROM {database}.results CROSS JOIN UNNEST(labels) AS given (label)
WHERE status = 'accepted'
GROUP BY task, given.label
ORDER BY task, row_count DESC, given.label
""",
    ),
    Query(
        "reasons of rows without a label",
        "Why current rows are unresolved or rejected, the most frequent reason first.",
        """\
SELECT task, status, reason, count(*) AS row_count, count(DISTINCT source) AS sources
FROM {database}.results
WHERE status <> 'accepted'
GROUP BY task, status, reason
ORDER BY task, row_count DESC, reason
""",
    ),
    Query(
        "rows without a label",
        "The current rows that are unresolved or rejected, where they stand in the input, and why.",
        """\
SELECT task, source, line, id, status, reason, attempts, run_id
FROM {database}.results
WHERE status <> 'accepted'
ORDER BY task, source, line
LIMIT 1000
""",
    ),
    Query(
        "cost by task and month",
        "What the published runs cost, beside what the last tier alone would have cost; null where a price is unknown.",
        """\
SELECT task, date_trunc('month', run_date) AS month, count(*) AS runs, sum(rows_in) AS row_count,
  sum(cost_usd) AS cost_usd, sum(baseline_usd) AS baseline_usd, count(*) - count(cost_usd) AS runs_of_unknown_cost
FROM {database}.runs
GROUP BY task, date_trunc('month', run_date)
ORDER BY task, month
""",
    ),
    Query(
        "escalation by day",
        "Which share of the records the first tier passed on, and which share of the rows nobody could settle.",
        """\
SELECT task, run_date, count(*) AS runs, sum(records) AS records,
  round(100.0 * sum(tiers[1].escalated) / nullif(sum(records), 0), 1) AS escalated_percent,
  round(100.0 * sum(unresolved) / nullif(sum(rows_in), 0), 1) AS unresolved_percent
FROM {database}.runs
WHERE answers NOT LIKE 'rejudge:%'
GROUP BY task, run_date
ORDER BY task, run_date
""",
    ),
)
