"""Every status, outcome and reason code that stands in the results, in one place."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """What became of a row."""

    ACCEPTED = "accepted"
    UNRESOLVED = "unresolved"
    REJECTED = "rejected"


class Outcome(StrEnum):
    """What became of one attempt at a record."""

    ACCEPTED = "accepted"
    ESCALATED = "escalated"
    RETRIED = "retried"
    UNRESOLVED = "unresolved"


class Reason(StrEnum):
    """Why a row was rejected, an answer not accepted, or a record not answered."""

    # the row: rejected before anything is sent
    ROW_NOT_UTF8 = "row_not_utf8"
    ROW_NOT_JSON = "row_not_json"
    ROW_NOT_OBJECT = "row_not_object"
    ROW_TOO_DEEP = "row_too_deep"
    ROW_TOO_LARGE = "row_too_large"
    ROW_NOT_CSV = "row_not_csv"
    TEXT_MISSING = "text_missing"
    TEXT_NOT_STRING = "text_not_string"
    TEXT_EMPTY = "text_empty"
    TEXT_TOO_LONG = "text_too_long"

    # the answer: the model's quality, so the next tier is asked
    REPLY_EMPTY = "reply_empty"
    REPLY_REFUSED = "reply_refused"
    REPLY_CUT = "reply_cut"
    REPLY_NOT_JSON = "reply_not_json"
    REPLY_NOT_OBJECT = "reply_not_object"
    REPLY_TOO_DEEP = "reply_too_deep"
    LABEL_MISSING = "label_missing"
    LABEL_UNKNOWN = "label_unknown"
    LABELS_COUNT = "labels_count"
    CONFIDENCE_INVALID = "confidence_invalid"
    FIELDS_INVALID = "fields_invalid"
    LOW_CONFIDENCE = "low_confidence"
    EVIDENCE_NOT_FOUND = "evidence_not_found"
    RULE_FAILED = "rule_failed"

    RECORD_REFUSED = "record_refused"

    # the transport: no answer was had, so the same tier is asked again first
    THROTTLED = "throttled"
    MODEL_ERROR = "model_error"
    REPLY_UNREADABLE = "reply_unreadable"
    MISSING = "missing"
    INTERRUPTED = "interrupted"
    JOB_FAILED = "job_failed"
    JOB_EXPIRED = "job_expired"
    JOB_STOPPED = "job_stopped"

    # the run: it ended before the record was asked again
    BUDGET = "budget"
    CANCELLED = "cancelled"


REJECTIONS = tuple(Reason)[: list(Reason).index(Reason.TEXT_TOO_LONG) + 1]
TRANSPORT = frozenset(tuple(Reason)[list(Reason).index(Reason.THROTTLED) : list(Reason).index(Reason.BUDGET)])
