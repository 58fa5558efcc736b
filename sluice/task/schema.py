"""JSON Schemas in a task file: checked as a whole when it is read, so that none fails on a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jsonschema_rs

from sluice.task.problems import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

# The keywords of drafts 4 to 2020-12 by what stands behind them: JSON Schema ignores a word that it does not know.
_ONE = {
    *("additionalItems", "additionalProperties", "contains", "contentSchema", "else", "if", "not", "propertyNames"),
    *("then", "unevaluatedItems", "unevaluatedProperties"),
}
_LISTS = {"allOf", "anyOf", "oneOf", "prefixItems"}
_BY_NAME = {"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"}
_MIXED = {"items", "dependencies"}  # a schema, or several of them
_PLAIN = {
    *("$anchor", "$comment", "$dynamicAnchor", "$dynamicRef", "$id", "$recursiveAnchor", "$recursiveRef", "$ref"),
    *("$schema", "$vocabulary", "const", "contentEncoding", "contentMediaType", "default", "dependentRequired"),
    *("deprecated", "description", "enum", "examples", "exclusiveMaximum", "exclusiveMinimum", "format", "id"),
    *("maxContains", "maxItems", "maxLength", "maxProperties", "maximum", "minContains", "minItems", "minLength"),
    *("minProperties", "minimum", "multipleOf", "pattern", "readOnly", "required", "title", "type", "uniqueItems"),
    "writeOnly",
}
KEYWORDS = sorted({*_ONE, *_LISTS, *_BY_NAME, *_MIXED, *_PLAIN})


def refuse_remote(uri: str) -> Any:
    """Read no schema from elsewhere: a task is one file."""
    raise ValueError(f"{uri} is not part of the schema")


def check_schema(value: dict[str, Any]) -> None:
    """Make sure that it is a schema.

    Raises:
        ValueError: in the words of whoever found it.

    """
    try:
        jsonschema_rs.validator_for(value, retriever=refuse_remote)
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise ValueError(f"is no JSON Schema: {str(error).splitlines()[0]}") from None


def unknown_words(schema: object, at: str) -> Iterator[str]:
    """What stands where a keyword should and is none, as `place: what is wrong`; the schema itself is sound."""
    if not isinstance(schema, dict):
        return
    for name, value in schema.items():
        place = f"{at}.{name}"
        if name not in KEYWORDS:
            yield (
                f"{place}: is no keyword of JSON Schema, which would ignore it; a field of the row is named below "
                f"properties: {{properties: {{{name}: {{const: …}}}}, required: [{name}]}}"
                f"{nearest(str(name), KEYWORDS).partition('. There')[0].rstrip('.')}"
            )
        elif name in _ONE or (name in _MIXED and not isinstance(value, list) and name != "dependencies"):
            yield from unknown_words(value, place)
        elif name in _LISTS or isinstance(value, list):
            for number, part in enumerate(value if name in _LISTS | _MIXED else ()):
                yield from unknown_words(part, f"{place}.{number}")
        elif name in _BY_NAME | _MIXED:
            for inner, part in value.items():
                yield from unknown_words(part, f"{place}.{inner}")
