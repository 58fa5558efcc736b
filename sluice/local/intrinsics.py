"""CloudFormation's intrinsic functions, as far as a synthesized template of this app needs them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sluice.errors import Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PLACEHOLDER = re.compile(r"\$\{(!?)([^}]+)\}")
NOTHING = object()  # what AWS::NoValue resolves to: the property is left out


class Resolver:
    """Replaces intrinsic functions by values.

    `attributes` holds what Ref (attribute "Ref") and Fn::GetAtt give, by logical id and attribute name.
    An intrinsic or an attribute that is not known here is an error, never a guess.
    """

    def __init__(
        self, template: Mapping[str, Any], attributes: Mapping[tuple[str, str], str], pseudo: Mapping[str, Any]
    ) -> None:
        self.template = template
        self.attributes = attributes
        self.pseudo = pseudo
        self.functions: dict[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Fn::GetAtt": self._get_att,
            "Fn::Join": lambda value: self.resolve(value[0]).join(self.resolve(value[1])),
            "Fn::Sub": self._sub,
            "Fn::Select": lambda value: self.resolve(value[1])[int(self.resolve(value[0]))],
            "Fn::Split": lambda value: self.resolve(value[1]).split(self.resolve(value[0])),
            "Fn::If": lambda value: self.resolve(value[1] if self.holds(value[0]) else value[2]),
            "Fn::FindInMap": self._find_in_map,
        }

    def resolve(self, value: Any) -> Any:
        """`value` with every intrinsic function in it replaced."""
        if isinstance(value, list):
            return [item for item in map(self.resolve, value) if item is not NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, argument),) = value.items()
            if name in self.functions:
                return self.functions[name](argument)
            if name.startswith("Fn::"):
                raise Stop(f"the local runner does not know the intrinsic function {name}")
        resolved = {name: self.resolve(item) for name, item in value.items()}
        return {name: item for name, item in resolved.items() if item is not NOTHING}

    def holds(self, condition: str) -> bool:
        """Whether a condition of the template is true."""
        return self._test(self.template["Conditions"][condition])

    def _test(self, rule: Mapping[str, Any]) -> bool:
        ((name, argument),) = rule.items()
        match name:
            case "Condition":
                return self.holds(argument)
            case "Fn::Equals":
                return bool(self.resolve(argument[0]) == self.resolve(argument[1]))
            case "Fn::Not":
                return not self._test(argument[0])
            case "Fn::And":
                return all(map(self._test, argument))
            case "Fn::Or":
                return any(map(self._test, argument))
        raise Stop(f"the local runner does not know the condition function {name}")

    def _ref(self, name: str) -> Any:
        if name in self.pseudo:
            return self.pseudo[name]
        if (name, "Ref") in self.attributes:
            return self.attributes[name, "Ref"]
        parameter = self.template.get("Parameters", {}).get(name, {})
        if "Default" in parameter:
            return parameter["Default"]
        raise Stop(f"the template refers to {name}, which the local runner cannot resolve")

    def _get_att(self, value: str | list[str]) -> str:
        logical_id, attribute = value.split(".", 1) if isinstance(value, str) else value
        try:
            return self.attributes[logical_id, attribute]
        except KeyError:
            raise Stop(
                f"the template asks for {attribute} of {logical_id}, which the local runner cannot resolve"
            ) from None

    def _sub(self, value: str | list[Any]) -> str:
        text, names = (value, {}) if isinstance(value, str) else value

        def fill(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return "${" + name + "}"
            if name in names:
                return str(self.resolve(names[name]))
            return str(self._get_att(name) if "." in name else self._ref(name))

        return PLACEHOLDER.sub(fill, text)

    def _find_in_map(self, value: list[Any]) -> Any:
        name, first, second = (self.resolve(item) for item in value)
        return self.resolve(self.template["Mappings"][name][first][second])
