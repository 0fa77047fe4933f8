"""What a case head says of outputs and facts: read, refused, described."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final, TypeVar

from crossmatrix.binary import FACT_NAMES, known
from crossmatrix.case import FactOperator, FactWanted, TextOperator, TextWanted
from crossmatrix.casefields import TEXT_SCHEMA, TEXTS_SCHEMA, a_text, described, regex, some_texts
from crossmatrix.strict_yaml import nearest, problem


def _text_wanted(value: object) -> tuple[TextWanted, ...]:
    if isinstance(value, str):
        return (TextWanted(operator="matches", values=(regex(value),)),)
    operators: tuple[TextOperator, ...] = ("equal", "has", "lacks")
    return tuple(
        TextWanted(operator=operator, values=(a_text(values),) if operator == "equal" else values)
        for operator, values in _operators(value, operators)
    )


Op = TypeVar("Op", bound=str)


def _operators(value: object, known: Iterable[Op]) -> list[tuple[Op, Any]]:
    names = {str(name): name for name in known}
    if not isinstance(value, dict) or not value:
        raise problem("want a text or a mapping", hint=f"with one of: {', '.join(names)}")
    for key in value:
        if key not in names:
            raise problem(f"unknown operator {key!r}", hint=nearest(key, names), at=(key,))
    return [
        (names[key], item if key == "equal" else some_texts(item)) for key, item in value.items()
    ]


_ENUMERATED: Final = {
    "format": "elf pe macho wasm archive xcoff plan9",
    "class": "32 64",
    "byteorder": "little big",
    "type": "exe pie dyn rel static-pie",
    "linkage": "static dynamic",
    "stripped": "yes no",
    "dwarf": "yes no",
    "relro": "none partial full",
    "nx": "yes no",
    "wx": "yes no",
}


def _fact(name: str, value: object) -> tuple[FactWanted, ...]:
    if not known(name):
        raise problem(
            f"unknown fact {name!r}", hint=nearest(name, (*FACT_NAMES, "go.GOARM")), at=(name,)
        )
    if value == "absent":
        return (FactWanted(fact=name, operator="absent"),)
    if isinstance(value, dict):
        operators: tuple[FactOperator, ...] = ("has", "lacks", "max", "min")
        return tuple(
            FactWanted(fact=name, operator=operator, values=values)
            for operator, values in _operators(value, operators)
        )
    if value == []:
        return (FactWanted(fact=name, operator="is", values=()),)
    values = some_texts(value)
    possible = _ENUMERATED.get(name, "").split()
    for text in values:
        if possible and text not in possible and "{" not in text:
            raise problem(f"{name}: {text!r} is not possible", hint=nearest(text, possible))
    return (FactWanted(fact=name, operator="is", values=values),)


def _facts(value: object) -> tuple[FactWanted, ...] | None:
    if value == "none":
        return None
    if not isinstance(value, dict):
        raise problem("want a mapping of facts, or none", hint="such as {linkage: static}")
    return tuple(wanted for name, item in value.items() for wanted in _fact(name, item))


TextCheck = Annotated[
    tuple[TextWanted, ...],
    *described(
        _text_wanted,
        anyOf=[
            {**TEXT_SCHEMA, "description": "a regular expression, searched, multi-line"},
            {
                "type": "object",
                "properties": {
                    "equal": TEXT_SCHEMA,
                    "has": {"anyOf": [TEXT_SCHEMA, TEXTS_SCHEMA]},
                    "lacks": {"anyOf": [TEXT_SCHEMA, TEXTS_SCHEMA]},
                },
                "additionalProperties": False,
                "minProperties": 1,
            },
        ],
    ),
]
FactChecks = Annotated[
    tuple[FactWanted, ...] | None,
    *described(
        _facts,
        anyOf=[
            {"const": "none"},
            {
                "type": "object",
                "propertyNames": {"anyOf": [{"enum": list(FACT_NAMES)}, {"pattern": r"^go\."}]},
            },
        ],
    ),
]
