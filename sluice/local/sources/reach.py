"""One small request to each model before a run, so that a server that is not there is found out at once."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec
import urllib3

from sluice.errors import Stop
from sluice.local.sources.completions import said_by

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sluice.local.sources.openai import Endpoint

# A server that loads its model now may take longer than that, and may.
FIRST_CALL = urllib3.Timeout(connect=5, read=8)
NO_SUCH_MODEL = re.compile(
    r"model.*(not found|not exist|no such|unknown|invalid|not available)|(unknown|invalid|no such) model",
    re.IGNORECASE | re.DOTALL,
)
REFUSED = "refuses connections: is the server running, and is this its address?"
NAMELESS = "has a name that leads nowhere: is this its address?"


def reach(endpoints: Iterable[tuple[Endpoint, str]]) -> None:
    """Make sure that each server is there and takes requests for its model; each comes with the variable of its key.

    Whatever else a server says, and a slow answer, are left to the run.

    Raises:
        Stop: one is not there, or refuses; in words about that server, which has been sent no row.
    """
    listed = list(endpoints)
    with ThreadPoolExecutor(len(listed) or 1) as pool:
        said = [problem for problem in pool.map(lambda each: _problem(*each), listed) if problem]
    if said:
        raise Stop("\n".join(dict.fromkeys(said)))


def _problem(endpoint: Endpoint, key: str) -> str | None:
    place = endpoint.url.partition("?")[0]
    body = {"model": endpoint.model, "max_tokens": 1, "messages": [{"role": "user", "content": "Say yes."}]}
    laid_over = {**body, **endpoint.extra_body}
    sent = msgspec.json.encode({name: value for name, value in laid_over.items() if value is not None})
    headers = {"Content-Type": "application/json", **endpoint.headers}
    try:
        with urllib3.PoolManager(retries=False, timeout=FIRST_CALL) as pool:
            answer = pool.request("POST", endpoint.url, body=sent, headers=headers)
    except urllib3.exceptions.ReadTimeoutError:
        return None
    except urllib3.exceptions.HTTPError as error:
        return f"{place} cannot be reached: {_why(error)}"
    said = said_by(answer.data)
    told = f" The server says: {said}" if said else ""
    match answer.status:
        case 401:
            return f"{place} answers 401: it wants a key that it knows, in the variable {key}.{told}"
        case 403:
            return f"{place} answers 403: the key in the variable {key} may not use {endpoint.model}.{told}"
        case 404:
            return (
                f"{place} answers 404: either the server has no model {endpoint.model}, or the URL is not the one that "
                f"its API begins with, as http://localhost:11434/v1 is for Ollama.{told}"
            )
        case 400 | 422 if NO_SUCH_MODEL.search(said):
            return f"{place} answers {answer.status}: the server has no model {endpoint.model}.{told}"
    return None


def _why(error: urllib3.exceptions.HTTPError) -> str:
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return f"it {NAMELESS}"
    if isinstance(error, urllib3.exceptions.NewConnectionError) and "refused" in str(error):
        return f"it {REFUSED}"
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError):
        return "nobody answers within 5 seconds: is this its address?"
    if isinstance(error, urllib3.exceptions.SSLError):
        return f"no secure connection: {error}"
    return f"the connection broke off ({type(error).__name__}): is this an API in OpenAI's form?"
