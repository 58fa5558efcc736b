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
    # Only while a run goes on: plan decides for a whole round what follows, and merge says what did.
    REFUSED = "refused"
    # The same: an answer that waits for its score, or for the last tier's about a drawn record: merge says which stand.
    SCORED = "scored"
    # The same: an answer that waits for the judge's word.
    JUDGED = "judged"


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
    REPLY_AMBIGUOUS = "reply_ambiguous"
    ANSWER_MISSING = "answer_missing"
    ANSWER_DOUBLED = "answer_doubled"
    LABEL_MISSING = "label_missing"
    LABEL_UNKNOWN = "label_unknown"
    LABELS_COUNT = "labels_count"
    LABELS_CONTRADICT = "labels_contradict"
    CONFIDENCE_INVALID = "confidence_invalid"
    FIELDS_INVALID = "fields_invalid"
    LOW_CONFIDENCE = "low_confidence"
    EVIDENCE_NOT_FOUND = "evidence_not_found"
    RULE_FAILED = "rule_failed"
    LOW_SCORE = "low_score"
    LEARNED_OUT_OF_SERVICE = "learned_out_of_service"
    JUDGE_REFUSED = "judge_refused"
    JUDGE_UNCLEAR = "judge_unclear"

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
    REPLY_GONE = "reply_gone"
    DRAWN = "drawn"
    ROUTED = "routed"
    JUDGE_AGREED = "judge_agreed"


REJECTIONS = tuple(Reason)[: list(Reason).index(Reason.TEXT_TOO_LONG) + 1]
OF_RUN = frozenset(tuple(Reason)[list(Reason).index(Reason.BUDGET) :])
TRANSPORT = frozenset(tuple(Reason)[list(Reason).index(Reason.THROTTLED) : list(Reason).index(Reason.BUDGET)])

# Each reason in words, for whoever owns the rows.
MEANING: dict[Reason, str] = {
    Reason.ROW_NOT_UTF8: "the line is not UTF-8",
    Reason.ROW_NOT_JSON: "the line is not JSON",
    Reason.ROW_NOT_OBJECT: "the line is JSON, but no object",
    Reason.ROW_TOO_DEEP: "the row is nested too deeply",
    Reason.ROW_TOO_LARGE: "the line is too long to be kept",
    Reason.ROW_NOT_CSV: "the cells do not fit the header, or the quotes do not fit",
    Reason.TEXT_MISSING: "the row has no text field",
    Reason.TEXT_NOT_STRING: "the text field holds something else than text",
    Reason.TEXT_EMPTY: "the text is empty",
    Reason.TEXT_TOO_LONG: "the text is longer than the task allows",
    Reason.REPLY_EMPTY: "the model wrote nothing",
    Reason.REPLY_REFUSED: "the model would not answer",
    Reason.REPLY_CUT: "the answer was cut off at its longest length",
    Reason.REPLY_NOT_JSON: "the answer holds no JSON",
    Reason.REPLY_NOT_OBJECT: "the answer is JSON, but no object",
    Reason.REPLY_TOO_DEEP: "the answer is nested too deeply",
    Reason.REPLY_AMBIGUOUS: "the reply holds several answers that differ",
    Reason.ANSWER_MISSING: "the reply to several texts has no answer under this one's id",
    Reason.ANSWER_DOUBLED: "the reply to several texts has more than one answer under this one's id",
    Reason.LABEL_MISSING: "the answer names no label",
    Reason.LABEL_UNKNOWN: "the answer names a label that the task does not have",
    Reason.LABELS_COUNT: "the answer has too few or too many labels",
    Reason.LABELS_CONTRADICT: "the answer says that nothing fits, beside labels that fit",
    Reason.CONFIDENCE_INVALID: "the answer does not say how sure it is",
    Reason.FIELDS_INVALID: "a further field is missing or of the wrong kind",
    Reason.LOW_CONFIDENCE: "the model was less sure than the task asks for",
    Reason.EVIDENCE_NOT_FOUND: "the quoted evidence is not in the text",
    Reason.RULE_FAILED: "the answer breaks a rule of the task",
    Reason.LOW_SCORE: "its score is below what the task or its certificate accepts",
    Reason.LEARNED_OUT_OF_SERVICE: "the learned tier agrees with the last one less than it had stated",
    Reason.JUDGE_REFUSED: "the judge called the answer wrong",
    Reason.JUDGE_UNCLEAR: "the judge could not tell, or said nothing that could be read",
    Reason.RECORD_REFUSED: "Bedrock refused the request of this text",
    Reason.THROTTLED: "too many requests at once",
    Reason.MODEL_ERROR: "the model failed",
    Reason.REPLY_UNREADABLE: "the output could not be read",
    Reason.MISSING: "the output has no answer to it",
    Reason.INTERRUPTED: "a call broke off, and may have been billed",
    Reason.JOB_FAILED: "its job failed",
    Reason.JOB_EXPIRED: "its job expired before it was started",
    Reason.JOB_STOPPED: "its job was stopped",
    Reason.BUDGET: "the budget was used up",
    Reason.CANCELLED: "the run was cancelled",
    Reason.REPLY_GONE: "what came back was deleted before it was read",
    Reason.DRAWN: "it was drawn, so the last tier's answer counts",
    Reason.ROUTED: "the router has said which tier is to answer",
    Reason.JUDGE_AGREED: "the judge called the answer right",
}


# What is likely behind it where most rows of a run end so, and where to look, for a run that accepted nothing.
LIKELY: dict[Reason, str] = {
    Reason.ROW_NOT_UTF8: "the files are in another encoding, such as UTF-16 or Latin-1",
    Reason.ROW_NOT_JSON: "the files are no JSON Lines: one JSON object to a line",
    Reason.ROW_NOT_OBJECT: "each line has to be a JSON object, whose fields the task names",
    Reason.ROW_TOO_DEEP: "the files hold something else than rows",
    Reason.ROW_TOO_LARGE: "the files have no line ends where rows end, or max_row_bytes is too low",
    Reason.ROW_NOT_CSV: "the header or the separator is not that of the rows",
    Reason.TEXT_MISSING: "input.text of the task names a field that the rows do not have",
    Reason.TEXT_NOT_STRING: "input.text of the task names a field that holds no text",
    Reason.TEXT_EMPTY: "input.text of the task names a field that is empty",
    Reason.TEXT_TOO_LONG: "input.max_tokens of the task is too low, or `when_longer: cut` is missing",
    Reason.REPLY_EMPTY: "max_tokens of the tiers is too low for a model that thinks first, or the model is not suited",
    Reason.REPLY_REFUSED: "the models decline such texts: say in the task what they are for, or name other models",
    Reason.REPLY_CUT: "max_tokens of the tiers is too low for the answer that the task asks for",
    Reason.REPLY_NOT_JSON: "the models do not keep to the form of the answer: they are too weak, or no chat models",
    Reason.REPLY_NOT_OBJECT: "the models do not keep to the form of the answer: they are too weak, or no chat models",
    Reason.REPLY_TOO_DEEP: "the models do not keep to the form of the answer",
    Reason.REPLY_AMBIGUOUS: "the models draft or correct their answers in the reply: ask for one JSON object alone",
    Reason.ANSWER_MISSING: "the models lose texts of a pack: lower `pack` of the tiers, or leave it out",
    Reason.ANSWER_DOUBLED: "the models answer texts of a pack twice: lower `pack` of the tiers, or leave it out",
    Reason.LABEL_MISSING: "the models do not keep to the form of the answer",
    Reason.LABEL_UNKNOWN: "the labels do not fit the texts, or a label for what fits none is missing",
    Reason.LABELS_COUNT: "`choose` of the task asks for another number of labels than fit",
    Reason.LABELS_CONTRADICT: "the models name `none` beside labels: say in its description that it stands alone",
    Reason.CONFIDENCE_INVALID: "the models do not keep to the form of the answer",
    Reason.FIELDS_INVALID: "the fields that the task asks for do not stand in the texts, or have another type",
    Reason.LOW_CONFIDENCE: "the labels do not fit the texts, or their descriptions do not tell them apart",
    Reason.EVIDENCE_NOT_FOUND: "the models quote what does not stand in the text: they are too weak for evidence",
    Reason.RULE_FAILED: "a rule of the task can hardly be met: try it with `sluice check --sample`",
    Reason.LOW_SCORE: "the next tier could not be asked about what the score does not let pass",
    Reason.LEARNED_OUT_OF_SERVICE: "the next tier could not be asked about what the learned tier may not settle",
    Reason.JUDGE_REFUSED: "the judge calls most answers wrong: look at some, and leave `gates.judge` out if it errs",
    Reason.JUDGE_UNCLEAR: "the judge cannot tell: name a stronger model in `gates.judge`, or leave it out",
    Reason.RECORD_REFUSED: "the models take no such requests: their access, or what the tiers ask of them",
    Reason.THROTTLED: "the account's quotas for the models are too low for now",
    Reason.MODEL_ERROR: "the models could not be reached, or failed",
    Reason.REPLY_UNREADABLE: "what answered is not the service that the task's models run on",
    Reason.MISSING: "the jobs' output is incomplete",
    Reason.INTERRUPTED: "the function that calls the models dies before it has its answers",
    Reason.JOB_FAILED: "Bedrock could not run the jobs; their messages say why",
    Reason.JOB_EXPIRED: "Bedrock had no room for the jobs within timeout_hours of the tiers",
    Reason.JOB_STOPPED: "somebody has stopped the jobs",
    Reason.BUDGET: "budget.max_usd of the task is below what the first round costs",
    Reason.CANCELLED: "the run was cancelled before anything was answered",
    Reason.REPLY_GONE: "the run was resumed after keep_requests_days: run the same files again",
    Reason.DRAWN: "the last tier could not be asked about the drawn rows",
    Reason.ROUTED: "the run ended before any tier was asked for an answer",
    Reason.JUDGE_AGREED: "the run ended before an answer stood",
}


def about(code: str) -> str:
    """Say what a reason code is about: the row, the answer, the transport or the run; empty for other words."""
    if code in REJECTIONS:
        return "row"
    if code in TRANSPORT:
        return "transport"
    if code in OF_RUN:
        return "run"
    return "answer" if code in tuple(Reason) else ""
