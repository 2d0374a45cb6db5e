"""Records: how everything on disk may grow without voiding what was written before, and options as KEY=VALUE.

Every record says the version of its schema and of the code that wrote it; those that say nothing are of schema 1. A
field absent from a record means what the code that wrote it did, which stands beside the field as ``absent`` and need
not be the default of a new record. Older schemas are brought up one version at a time; a newer one, or a field that
nobody knows, is refused in a line that names the version that wrote it.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    model_serializer,
    model_validator,
)

from manifests import __version__
from manifests.atomic_io import read_json
from manifests.errors import DamagedError, RefusedError, UsageError
from manifests.faults import did_you_mean, said

_HEAD = ("schema_version", "written_by")
_FIRST = "0.1.0"
"""The release that wrote no version of its own into its records."""

Fields = dict[str, Any]
Upgrade = Callable[[Fields], Fields]


def added(default: Any, *, absent: Any, **constraints: Any) -> Any:
    """Return a pydantic field that older records lack.

    In those it means ``absent``, or what that returns of the fields that are there, where it is a function; in new ones
    it is ``default``. Neither may change within a schema version.
    """
    return Field(default, json_schema_extra={"absent": absent}, **constraints)


class OtherVersionError(ValueError):
    """A record that a newer version of this code wrote."""

    REMEDY: ClassVar = "upgrade dare-eeg"


@dataclass(frozen=True)
class Schema:
    """The fields of one kind of record: their names, what absent ones were, how older schemas become this one.

    ``upgrades`` has for each version but the last the function that turns its fields into those of the next.
    """

    kind: str
    version: int
    known: frozenset[str]
    absent: Mapping[str, Any] = field(default_factory=dict)
    upgrades: Mapping[int, Upgrade] = field(default_factory=dict)

    def head(self) -> Fields:
        """Return the schema version and the version of the code, as each new record of this kind states them."""
        return {"schema_version": self.version, "written_by": __version__}

    def read(self, stored: Mapping[str, Any]) -> Fields:
        """Return stored fields as those of today's schema, without ``schema_version`` and ``written_by``.

        Fields that the record lacks are not filled in. Raises OtherVersionError for a newer schema and for an unknown
        field, ValueError for fields that are not those of the schema they name.
        """
        fields = dict(stored)
        found, by = (fields.pop(name, default) for name, default in zip(_HEAD, (1, _FIRST), strict=True))
        if not isinstance(found, int) or found < 1:
            raise ValueError(f"schema_version {found!r} is no version of a schema")
        if found > self.version:
            raise OtherVersionError(
                f"{self.kind} of schema {found}, written by dare-eeg {by}; this one, {__version__}, reads up to schema "
                f"{self.version}"
            )
        try:
            for older in range(found, self.version):
                fields = self.upgrades[older](fields)
        except (KeyError, TypeError, AttributeError, ValueError) as problem:
            raise ValueError(
                f"not the {self.kind} of schema {found} that it says to be ({type(problem).__name__}: {problem})"
            ) from problem
        self.refuse_strange(fields, by)
        return fields

    def meant_by_absence(self, name: str, fields: Mapping[str, Any]) -> Any:
        """Return what it means that a record of these fields lacks a field."""
        absent = self.absent[name]
        return absent(fields) if callable(absent) else absent

    def refuse_strange(self, fields: Mapping[str, Any], by: str) -> None:
        """Raise OtherVersionError for a field that this code does not know, ValueError where it says to be its own."""
        if strange := sorted(fields.keys() - self.known):
            if by == __version__:
                raise ValueError(f"has the field {strange[0]!r}, which no version has")
            raise OtherVersionError(
                f"has the field {strange[0]!r}, written by dare-eeg {by}, which this one, {__version__}, does not know"
            )


@dataclass
class _Reading:
    """The context of pydantic while a record is read from disk: which version wrote the part that is being read."""

    by: str = _FIRST


class Part(BaseModel):
    """A part of a record, whose schema it shares.

    What was read is written again without the fields that it lacked, which pydantic counts as not set. So a field that
    its writer did not know of is not taken for one that it stated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @property
    def lacked(self) -> frozenset[str]:
        """The fields that the code which wrote this did not know."""
        return frozenset(type(self).model_fields) - self.model_fields_set

    def stated(self) -> Self:
        """Return a copy that states what this lacked, for a record that is made of it anew."""
        copy = self.model_copy()
        copy.__pydantic_fields_set__.update(self.schema_of().known)
        return copy

    def lacking(self, names: Collection[str]) -> Self:
        """Return a copy that lacks these fields as one does that older code wrote."""
        copy = self.model_copy()
        copy.__pydantic_fields_set__.difference_update(names)
        return copy

    @classmethod
    @cache
    def schema_of(cls) -> Schema:
        """Return the schema that the class's fields make."""
        extras = {name: one.json_schema_extra for name, one in cls.model_fields.items()}
        absent = {name: extra["absent"] for name, extra in extras.items() if isinstance(extra, dict)}
        return Schema(cls.__name__, 1, frozenset(cls.model_fields), absent)

    @model_validator(mode="wrap")
    @classmethod
    def _as_written(cls, stored: Any, make: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        """Read what is stored by its schema; what code makes anew is validated by pydantic alone."""
        if isinstance(stored, cls):
            return stored
        reading, schema = info.context, cls.schema_of()
        if not (isinstance(reading, _Reading) and isinstance(stored, Mapping)):
            made = make(stored)
            made.__pydantic_fields_set__.update(schema.known)
            return made
        around = reading.by
        fields = cls._fields(stored, reading)
        lacked = schema.known - fields.keys()
        if unstated := sorted(lacked - schema.absent.keys()):
            raise ValueError(f"lacks the field {unstated[0]!r}; it was written by dare-eeg {reading.by}")
        made = make(fields | {name: schema.meant_by_absence(name, fields) for name in lacked})
        made.__pydantic_fields_set__.difference_update(lacked)
        reading.by = around
        return made

    @classmethod
    def _fields(cls, stored: Mapping[str, Any], reading: _Reading) -> Fields:
        cls.schema_of().refuse_strange(stored, reading.by)
        return dict(stored)

    def as_json(self) -> Fields:
        """Return what is written of it, in plain values."""
        return self.model_dump(mode="json", exclude_unset=True)


class Record(Part):
    """What stands in a file of its own, or in another record with a schema of its own."""

    KIND: ClassVar[str]
    SCHEMA: ClassVar[int] = 1
    UPGRADES: ClassVar[Mapping[int, Upgrade]] = {}

    @classmethod
    @cache
    def schema_of(cls) -> Schema:
        """Return the schema that the class's fields make."""
        parts = super().schema_of()
        return Schema(cls.KIND, cls.SCHEMA, parts.known, parts.absent, cls.UPGRADES)

    @classmethod
    def _fields(cls, stored: Mapping[str, Any], reading: _Reading) -> Fields:
        reading.by = str(stored.get("written_by", _FIRST))
        return cls.schema_of().read(stored)

    @model_serializer(mode="wrap")
    def _with_head(self, serialise: SerializerFunctionWrapHandler) -> Fields:
        fields: Fields = serialise(self)
        return self.schema_of().head() | fields


P = TypeVar("P", bound=Part)


def read(kind: type[P], stored: object, place: Path | str, remedy: str) -> P:
    """Return the record, or the part of one, that stored fields are.

    Raises DareError, in one line with the remedy, where they are none.
    """
    try:
        return kind.model_validate(stored, context=_Reading())
    except ValidationError as problem:
        if isinstance(problem.errors()[0].get("ctx", {}).get("error"), OtherVersionError):
            raise RefusedError(fault(problem), path=place, remedy=OtherVersionError.REMEDY) from None
        raise DamagedError(fault(problem), path=place, remedy=remedy) from None


def load(kind: type[P], path: Path, remedy: str) -> P:
    """Return the record that a JSON file holds; DareError where it is missing, broken or no such record."""
    return read(kind, read_json(path, remedy), path, remedy)


def fault(problem: ValidationError) -> str:
    """Return the first thing that does not hold, in one line: the field, where it is one, and why."""
    first = problem.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    why = said(first)
    return f"{place}: {why}" if place else why


def choice(kind: type[Part], problem: ValidationError, never_written: Collection[str] = ()) -> str:
    """Return which fields there are where the first thing that does not hold is a name that is none, "" elsewhere.

    They are those of the table that the name stands in, without those ``never_written``; one that is near it is asked
    for.
    """
    first = problem.errors()[0]
    if first["type"] != "extra_forbidden":
        return ""
    *tables, name = map(str, (place for place in first["loc"] if isinstance(place, str)))
    part = kind
    for table in tables:
        part = next(_parts(part.model_fields[table].annotation))
    known = sorted(part.model_fields.keys() - set(never_written))
    where = f" of {'.'.join(tables)}" if tables else ""
    return " ".join(filter(None, (did_you_mean(name, known), f"fields{where} are {', '.join(known)}")))


def _parts(annotation: Any) -> Iterator[type[Part]]:
    """Yield the kinds of parts that an annotation names."""
    if isinstance(annotation, type) and issubclass(annotation, Part):
        yield annotation
    for inner in get_args(annotation):
        yield from _parts(inner)


def option(text: str, example: str) -> Fields:
    """Return the field that KEY=VALUE names, the value read as JSON where it is, else split at its commas.

    A dot leads into a table: ``layout.spans=true`` is {"layout": {"spans": True}}. Raises DareError where there
    is no key or no value.
    """
    key, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not all(key.split(".")):
        raise UsageError("names no field or no value", path=f"--set {text}", remedy=f"give KEY=VALUE, as in {example}")
    try:
        field = json.loads(value)
    except (ValueError, RecursionError):
        field = [part.strip() for part in value.split(",")] if "," in value else value
    for name in reversed(key.split(".")):
        field = {name: field}
    return dict(field)


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Fields:
    """Return the fields of both, tables in tables merged, the others those of ``above`` where it has them."""
    both = dict(below)
    for name, value in above.items():
        one = both.get(name)
        both[name] = merged(one, value) if isinstance(one, Mapping) and isinstance(value, Mapping) else value
    return both
