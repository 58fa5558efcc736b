"""Model inputs in the Converse format: what is let through and what becomes a record's error.

Bedrock checks these when it works on a record, not when it accepts a job: a wrong body is an error on every record.
"""

from __future__ import annotations

from typing import Any

import msgspec

SEVERAL_AT = "<text id="  # how the message of a request begins that holds several texts
BYTES_PER_TOKEN = 4  # an estimate; no tokenizer of these models is public
CONTEXT_TOKENS = {"nova-micro": 128_000, "nova-": 300_000}
MAX_OUTPUT_TOKENS = {"nova-2": 64_000, "nova-": 10_000}
# Claude from Opus 4.7 on answers a sampling parameter with an error on every record (bug reports, 2026).
WITH_FLEX = ("nova-pro", "nova-2-lite", "nova-premier")
WITHOUT_SAMPLING = ("claude-opus-4-7", "claude-opus-4-8", "claude-opus-5", "claude-sonnet-5", "claude-haiku-5")


class BadRequest(Exception):
    """A model input that the service refuses."""


class TextBlock(msgspec.Struct, forbid_unknown_fields=True):
    """One block of content; others than text are not part of this pipeline."""

    text: str


class Message(msgspec.Struct, forbid_unknown_fields=True):
    """One turn."""

    role: str
    content: list[TextBlock]


class Inference(msgspec.Struct, forbid_unknown_fields=True):
    """How to generate."""

    maxTokens: int | None = None  # noqa: N815  the API's spelling
    temperature: float | None = None
    topP: float | None = None  # noqa: N815
    stopSequences: list[str] | None = None  # noqa: N815


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """The members of a Converse request that are part of this pipeline."""

    messages: list[Message]
    system: msgspec.Raw = msgspec.Raw(b"[]")
    inferenceConfig: Inference | None = None  # noqa: N815
    outputConfig: msgspec.Raw | None = None  # noqa: N815
    additionalModelRequestFields: dict[str, Any] | None = None  # noqa: N815
    serviceTier: dict[str, str] | None = None  # noqa: N815  on demand alone


class Line(msgspec.Struct):
    """One line of a job's input."""

    recordId: str  # noqa: N815
    modelInput: msgspec.Raw  # noqa: N815


class Request(msgspec.Struct, frozen=True):
    """One request to a model. `text` is the user's message, `raw` the whole body; `record` is empty on demand."""

    record: str
    model: str
    text: str
    raw: bytes
    max_tokens: int

    @property
    def input_tokens(self) -> int:
        """An estimate: bytes divided by four."""
        return max(1, len(self.raw) // BYTES_PER_TOKEN)


_decode_body = msgspec.json.Decoder(Body).decode


class RequestReader:
    """Reads model inputs for one model, and refuses what that model would refuse, in a batch job or on demand."""

    def __init__(self, model: str, *, in_batch: bool = False) -> None:
        self.model = model
        self.in_batch = in_batch
        self.context = limit(CONTEXT_TOKENS, model, 200_000)
        self.most = limit(MAX_OUTPUT_TOKENS, model, 64_000)
        self.without_sampling = any(family in model for family in WITHOUT_SAMPLING)

    def read(self, record: str, raw: bytes) -> Request:
        """A request from its JSON body.

        Raises:
            BadRequest: with the service's kind of message.
        """
        try:
            body = _decode_body(raw)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise BadRequest(explain(raw, error)) from None
        config = body.inferenceConfig
        self._check_way(body)
        if not body.messages or body.messages[0].role != "user":
            raise BadRequest("A conversation must start with a user message.")
        content = body.messages[-1].content
        if not content or not content[0].text.strip():
            raise BadRequest("The text field in the ContentBlock object at messages.0.content.0 is blank.")
        most = self.most
        if config is not None:
            self._check(config)
            most = config.maxTokens or self.most
        request = Request(record, self.model, content[0].text, raw, most)
        if request.input_tokens > self.context:
            raise BadRequest("Input is too long for requested model.")
        return request

    def _check_way(self, body: Body) -> None:
        """Refuse what belongs to another way of sending a request."""
        if self.in_batch and body.serviceTier is not None:
            raise BadRequest("serviceTier: Extra inputs are not permitted")
        if self.in_batch and b'"cachePoint"' in bytes(body.system):
            raise BadRequest("cachePoint is not supported in batch inference.")
        if (body.serviceTier or {}).get("type") == "flex" and not any(family in self.model for family in WITH_FLEX):
            raise BadRequest("The service tier flex is not supported for this model.")

    def _check(self, config: Inference) -> None:
        if config.maxTokens is not None and not 1 <= config.maxTokens <= self.most:
            raise BadRequest(f"inferenceConfig.maxTokens: {config.maxTokens} is not between 1 and {self.most}")
        given = {"temperature": config.temperature, "top_p": config.topP}
        if refused := [name for name, value in given.items() if value is not None and self.without_sampling]:
            raise BadRequest(f"`{refused[0]}` is deprecated for this model.")
        for name, value in (("temperature", config.temperature), ("topP", config.topP)):
            if value is not None and not 0 <= value <= 1:
                raise BadRequest(f"inferenceConfig.{name}: {value} is not between 0 and 1")


def limit(limits: dict[str, int], model: str, default: int) -> int:
    """The limit of the first family whose name is part of a model's id."""
    return next((value for family, value in limits.items() if family in model), default)


def explain(raw: bytes, error: Exception) -> str:
    """Why a body is refused: a member that batch inference does not take, or what the decoder says."""
    try:
        body: Any = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return f"Malformed input request: {error}"
    if isinstance(body, dict):
        if "toolConfig" in body:
            return "toolConfig is not supported in batch inference."
        extra = [name for name in body if name not in Body.__struct_fields__]
        if extra:
            return f"{extra[0]}: Extra inputs are not permitted"
    return f"Malformed input request: {error}, please reformat your input and try again."
