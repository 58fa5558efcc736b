"""Models of one's own: a server that speaks OpenAI's chat completions, as an entry of models.yaml describes it."""

from __future__ import annotations

import json
import re
from hashlib import blake2b
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

USUAL_KEY = "OPENAI_API_KEY"
MOST_AT_ONCE = 256
OWN = "own."  # how the ids of such models begin, and no id of Bedrock's does
NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,52}")  # what AWS takes for a model of a provider
UNSAFE = re.compile(r"[^a-z0-9-]+")


class Server(BaseModel):
    """Where one model of one's own answers, and how it is asked; the key itself never stands here.

    `headers` may name variables, as in {api-key: $MY_KEY}. `extra_body` is laid over each request's body; a member that
    is null leaves it out of the body.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    model: Annotated[str, Field(min_length=1, max_length=500)]
    key_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    headers: dict[str, str] = Field({})
    extra_body: dict[str, Any] = Field({})
    response_format: Literal["json_schema", "json_object"] | None = None
    timeout_seconds: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)] = 300
    concurrency: Annotated[int, Field(strict=True, ge=1, le=MOST_AT_ONCE)] | None = None

    @field_validator("url")
    @classmethod
    def _is_http(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            there = parts.scheme in {"http", "https"} and parts.hostname and (parts.port is None or parts.port > 0)
        except ValueError:
            there = False
        if not there or any(letter.isspace() for letter in value):
            raise ValueError("should be the URL that its API begins with, as http://localhost:11434/v1")
        if "@" in parts.netloc:
            raise ValueError("holds a name or a key: give the key in a variable of the environment, by key_env")
        return value

    @property
    def place(self) -> str:
        """The URL as people may see it: what stands behind a question mark may be secret."""
        parts = urlsplit(self.url)
        return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))

    @property
    def chat(self) -> str:
        """Where chat completions are asked for."""
        parts = urlsplit(self.url)
        return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/") + "/chat/completions", parts.query, ""))

    @property
    def asks(self) -> tuple[str, str, str]:
        """What an answer depends on: servers with the same give the same answer to the same request."""
        return self.chat, self.model, json.dumps([self.extra_body, self.response_format], sort_keys=True)

    @property
    def variables(self) -> set[str]:
        """The variables of the environment that hold something secret of it."""
        return {self.key_env or USUAL_KEY, *(value[1:] for value in self.headers.values() if value.startswith("$"))}


def own_id(name: str) -> str:
    """The id by which the workflow knows a model of one's own: letters, digits and -, another one for another name."""
    if NAME.fullmatch(name):
        return OWN + name
    digest = blake2b(name.encode(), digest_size=4).hexdigest()
    return f"{OWN}{UNSAFE.sub('-', name.rsplit('/', 1)[-1].lower()).strip('-')[:40]}-{digest}"


def is_own(model_id: str) -> bool:
    """Whether an id is that of a model of one's own."""
    return model_id.startswith(OWN)
