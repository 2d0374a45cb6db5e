"""Recipe: every choice that turns one corpus into shards, validated, hashed and loaded from ``recipes/*.toml``."""

import tomllib
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_origin

from pydantic import Field, ValidationError, model_validator

from manifests.atomic_io import canonical_json, sha256_bytes, unreadable
from manifests.electrodes import LINKED_EARS, PRETRAIN_58, TCP_22, VOCABULARY, canonical, derivation
from manifests.errors import UsageError
from manifests.faults import did_you_mean
from manifests.layout import Layout
from manifests.records import Fields, Part, Record, added, choice, fault, merged, option

Purpose = Literal["probe", "pretrain"]
EvaluationProtocol = Literal["official", "kfold", "loso", "within", "stratified", "fixed"]
Positive = Annotated[float, Field(gt=0, lt=1e9)]
Share = Annotated[float, Field(ge=0, lt=1)]

FACTS = frozenset({"licence", "citation", "probe_electrodes", "unlinkable"})
"""Fields that tell of the corpus and change no shard, so that they may be put right without making a set anew."""

_FOR_SETS_MADE_ANEW = frozenset({"events", "split", "split_by", "quality"})
"""Fields whose default may change: a set whose recipe lacks one keeps what that means, unless it is stated."""

_NETWORK_WINDOWS: Fields = {
    "classes": [],
    "sfreq_hz": 256,
    "window_s": 10,
    "stride_s": 10,
    "offset_s": 0,
    "balance": False,
    "valid_share": 0.1,
}
"""What pretraining on a corpus of one's own changes, whatever its recipe says outside of its table ``[pretrain]``."""

_OF_ANY = ("sfreq_hz", "window_s")
"""Those of them that a corpus without classes takes as well."""

_MAINS_HZ = (16.7, 50, 60)
"""Of the world's railways and of its houses."""

_NOW_OPTIONS: Fields = {"runs": [], "wake_margin_s": 0}
"""Fields of the first schema that only one corpus used, with the value they had in all others; now its options."""


def _with_options(fields: Fields) -> Fields:
    """Return fields with the ones of `_NOW_OPTIONS` moved to the table of options."""
    moved = {name: fields[name] for name in _NOW_OPTIONS.keys() & fields.keys()}
    if not moved:
        return fields
    rest = {name: value for name, value in fields.items() if name not in moved}
    options = {name: value for name, value in moved.items() if value != _NOW_OPTIONS[name]}
    return merged(rest, {"options": options})


def _without_events(fields: Fields) -> Fields:
    """Return fields without the ``events`` of a layout, which the second schema stated and nobody read."""
    unread = {"events"} if fields.get("layout") else set()
    return {name: value for name, value in fields.items() if name not in unread}


def _fact(field: str, none: Any) -> Any:
    """Return a field of `FACTS`: a record without it means what the recipe of its corpus in this package says."""
    return added(none, absent=lambda fields: _shipped(str(fields["corpus"])).get(field, none))


def _split_by(fields: Fields) -> str:
    """Return by what an official split was where a record does not say it: no subject was kept out of train for it."""
    corpus = str(fields["corpus"])
    return str(_shipped(corpus).get("split_by", "subject" if corpus in names() else "session"))


class Unlinkable(Part):
    """Ids that nobody can match with those of another namespace, though they may be of the same people.

    ``whose`` and ``others`` say in words whose ids they are: ``TUEV's eval``, ``TUH's``.
    """

    namespace: str
    other_namespace: str
    whose: str
    others: str

    def concerns(self, subjects: Iterable[str]) -> bool:
        """Return whether some of these subjects have such ids."""
        return any(one.startswith(f"{self.namespace}:") for one in subjects)

    def hides(self, subjects: Iterable[str], known: Iterable[str]) -> bool:
        """Return whether some of these subjects may be among the ``known`` ones by another id."""
        return self.concerns(subjects) and any(one.startswith(f"{self.other_namespace}:") for one in known)


class Recipe(Record):
    """How one corpus becomes shards. Units are in the names: _hz, _s, _uv, _mb.

    A recipe of one's own states at least corpus, electrodes, notch_hz and, for a tree that no module knows, a layout.
    Where it does not say, its namespace is the corpus and its windows stand side by side. ``options`` are what one
    corpus alone understands; that corpus checks them.
    """

    KIND: ClassVar = "recipe"
    SCHEMA: ClassVar = 3
    UPGRADES: ClassVar = {1: _with_options, 2: _without_events}

    corpus: str = Field(pattern=r"^[a-z0-9]+$", max_length=24)
    purpose: Purpose
    namespace: str = Field(pattern=r"^[a-z0-9]+$")
    licence: str = _fact("licence", "")
    citation: str = _fact("citation", "")
    electrodes: tuple[str, ...] = Field(min_length=1)
    missing: Literal["mask", "require", "interpolate", "published-strict"] = "mask"
    reference: Literal["as recorded", "average", "linked ears", "bipolar tcp"] = "as recorded"
    sfreq_hz: Positive = 256.0
    band_hz: tuple[Annotated[float, Field(ge=0)], Positive] = (0.1, 75.0)
    notch_hz: Annotated[float, Field(ge=0)]
    classes: tuple[str, ...] = ()
    window_s: Positive = 10.0
    stride_s: Positive
    offset_s: float = 0.0
    edges: Literal["drop", "pad", "wrap"] = "drop"
    events: Literal["rows", "deduplicated", "merged"] = added("rows", absent="rows")
    reject_uv: Annotated[float, Field(ge=0)] = 0.0
    quality: Literal["checked", "none"] = added("checked", absent="none")
    sd_range_uv: tuple[Annotated[float, Field(ge=0)], Positive] = added((0.1, 5000.0), absent=(0.1, 5000.0))
    max_clipped_share: Annotated[float, Field(gt=0, le=1)] = added(0.5, absent=0.5)
    max_dead_share: Annotated[float, Field(gt=0, le=1)] = added(0.25, absent=0.25)
    bad_channels: Literal["as marked", "lof"] = added("as marked", absent="as marked")
    balance: bool = False
    valid_share: Share = 0.1
    test_share: Share = added(0.0, absent=0.0)
    split_seed: int = 0
    protocol: EvaluationProtocol = "kfold"
    split: Literal["hash", "rank"] = added("hash", absent="hash")
    split_by: Literal["subject", "session"] = added("subject", absent=_split_by)
    quantum_uv: Positive = 2.0**-5
    shard_mb: Positive = 256.0
    probe_electrodes: tuple[str, ...] = _fact("probe_electrodes", ())
    unlinkable: tuple[Unlinkable, ...] = _fact("unlinkable", ())
    options: Fields = Field(default_factory=dict)
    layout: Layout | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_ones_own(cls, fields: Any) -> Any:
        """Fill in what follows from other fields, and the facts of a corpus that is known.

        The notch has no default, as the mains differ from place to place.
        """
        if not isinstance(fields, dict) or "schema_version" in fields:
            return fields
        if "notch_hz" not in fields:
            raise ValueError("notch_hz must be stated: 50 or 60, the mains where it was recorded, or 0 for no notch")
        shipped = _shipped(str(fields.get("corpus")))
        facts = {name: shipped[name] for name in FACTS & shipped.keys()}
        following = {"namespace": fields.get("corpus"), "stride_s": fields.get("window_s", 10.0)}
        if fields.get("layout"):
            following |= {"events": "deduplicated", "split": "rank"}
        if fields.get("test_share"):
            following |= {"protocol": "official"}
        return facts | following | _with_options(fields)

    @model_validator(mode="before")
    @classmethod
    def _pairs_of_the_montage(cls, fields: Any) -> Any:
        """Put the pairs of the TCP montage in the place of the electrodes where that is the reference."""
        if isinstance(fields, dict) and fields.get("reference") == "bipolar tcp":
            return fields | {"electrodes": TCP_22}
        return fields

    @model_validator(mode="after")
    def _consistent(self) -> "Recipe":
        low, high = self.band_hz
        if not low < high <= self.sfreq_hz / 2:
            raise ValueError(f"band_hz {low:g} to {high:g} must rise and end by half of sfreq_hz {self.sfreq_hz:g}")
        if self.notch_hz >= self.sfreq_hz:
            raise ValueError(f"notch_hz {self.notch_hz:g} lies beyond sfreq_hz {self.sfreq_hz:g}")
        if not self.sd_range_uv[0] < self.sd_range_uv[1]:
            raise ValueError("sd_range_uv must rise, as in 0.1,5000")
        if spelt := [name for name in (*self.electrodes, *self.probe_electrodes) if canonical(name) != name]:
            wanted = ", ".join(f"{canonical(name)} for {name}" for name in spelt)
            raise ValueError(f"electrodes must have their canonical names: write {wanted}")
        if len(set(self.electrodes)) != len(self.electrodes):
            raise ValueError("electrodes holds a name twice")
        spans = [self.window_s * self.sfreq_hz, self.stride_s * self.sfreq_hz]
        if any(abs(span - round(span)) > 1e-6 or round(span) < 1 for span in spans):
            raise ValueError("window_s and stride_s must be whole numbers of samples at sfreq_hz")
        if self.test_share:
            if not self.layout or self.layout.test:
                raise ValueError("test_share is for a layout without an official test part")
            if self.test_share + self.valid_share >= 1:
                raise ValueError("test_share and valid_share leave nothing to train on")
        if self.layout and self.events == "merged":
            raise ValueError("events of a layout are deduplicated or rows, not merged")
        if self.layout and self.classes:
            if self.layout.labels == "none":
                raise ValueError("classes are named, but layout.labels does not say where labels are")
            if strange := sorted(set(self.layout.classes.values()) - set(self.classes)):
                raise ValueError(f"layout.classes has {strange[0]!r}, which is none of classes")
        return self

    @property
    def window_samples(self) -> int:
        """Samples of a window."""
        return round(self.window_s * self.sfreq_hz)

    @property
    def needed(self) -> tuple[str, ...]:
        """The electrodes to read: the recipe's own, those that its derivations subtract, and its reference's."""
        parts = [part for name in self.electrodes for part in (name, *(derivation(name) or ()))]
        ears = LINKED_EARS if self.reference == "linked ears" else ()
        return tuple(dict.fromkeys([*parts, *ears]))

    @property
    def set_name(self) -> str:
        """The folder a set of this recipe lands in: the corpus, marked where it is for pretraining."""
        return self.corpus if self.purpose == "probe" else f"{self.corpus}-pretrain"

    def differences(self, other: "Recipe") -> list[str]:
        """Return the fields in which two recipes make other sets."""
        return [name for name in _CHOICES if getattr(self, name) != getattr(other, name)]

    def sha256(self) -> str:
        """Return the hash of every field that a set depends on, whichever version of the code writes them down."""
        return sha256_bytes(canonical_json({k: value for k, value in self.as_json().items() if k in _CHOICES}))


_CHOICES = tuple(name for name in Recipe.model_fields if name not in FACTS)
"""Fields that a set depends on."""


def names() -> list[str]:
    """Return the corpora that have a recipe here."""
    folder = resources.files("manifests") / "recipes"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load(
    corpus: str,
    purpose: Purpose | None = None,
    settings: tuple[str, ...] = (),
    file: Path | str | None = None,
    there: Recipe | None = None,
) -> Recipe:
    """Return the recipe of a corpus, for pretraining where it says so or, unasked, has no classes.

    ``settings`` are ``key=value`` texts that replace one field each, ``preset=NAME`` first replacing all that the
    recipe's preset of that name holds; ``file`` is read instead of the recipe that comes with the package. ``there`` is
    that of a set which is to be finished or to grow, and keeps the windows that older code gave it. Raises DareError
    naming the field, the reason and the choices.
    """
    tables = _read(corpus, Path(file) if file else None)
    presets, for_pretrain = tables.pop("preset", {}), tables.pop("pretrain", None)
    labelled = bool(tables.get("classes"))
    purpose = purpose or ("probe" if labelled else "pretrain")
    older = tables
    if purpose == "pretrain":
        stated = {} if for_pretrain is None else _with_options(for_pretrain)
        older = tables | (stated if for_pretrain is not None or not labelled else _NETWORK_WINDOWS)
        if labelled and for_pretrain is None and "layout" not in tables:
            raise UsageError("has no recipe for pretraining", path=corpus, remedy="leave out --for pretrain")
        tables = _for_the_network(tables, stated) if "layout" in tables else older
    elif not labelled:
        raise UsageError("has no classes to probe", path=corpus, remedy="leave out --for probe")
    preset: Fields = {}
    overrides: Fields = {"purpose": purpose}
    for fields in map(_setting, settings):
        name = fields.pop("preset", None)
        if name is not None:
            if not isinstance(name, str) or name not in presets:
                there_are = ", ".join(sorted(presets)) or "none"
                raise UsageError(f"no preset {name!r}", path=corpus, remedy=f"there is {there_are}")
            preset |= _with_options(presets[name])
        overrides = merged(overrides, fields)
    place = file or f"recipe {corpus}"
    recipe = _made(merged(tables | preset, overrides), there, place)
    if there is not None and older != tables and recipe.differences(there):
        with suppress(UsageError):
            as_it_was = _made(merged(older | preset, overrides), there, place)
            return recipe if as_it_was.differences(there) else as_it_was
    return recipe


def is_mains(notch_hz: float) -> bool:
    """Return whether this is within 1 Hz of a frequency of the mains."""
    return min(abs(notch_hz - mains_hz) for mains_hz in _MAINS_HZ) <= 1


def _for_the_network(tables: Fields, stated: Fields) -> Fields:
    """Return the fields of a recipe of one's own for pretraining, ``stated`` those of its table for that.

    Of the electrodes that it names those stay that the network knows, all where it knows none. Windows stand side by
    side, whatever is stated of labelled ones.
    """
    windows = _NETWORK_WINDOWS if tables.get("classes") else {name: _NETWORK_WINDOWS[name] for name in _OF_ANY}
    named = tables.get("electrodes", PRETRAIN_58)
    known = [name for name in named if name in VOCABULARY] if isinstance(named, list | tuple) else []
    fields = tables | windows | {"electrodes": known or named}
    return {name: value for name, value in fields.items() if name != "stride_s"} | stated


def _made(fields: Fields, there: Recipe | None, place: Path | str) -> Recipe:
    """Return the recipe of these fields; those that the set ``there`` lacks mean what they do in it."""
    kept = {} if there is None else {name: getattr(there, name) for name in _FOR_SETS_MADE_ANEW & there.lacked}
    notch_hz = fields.get("notch_hz")
    is_new = there is None or notch_hz != there.notch_hz
    if is_new and isinstance(notch_hz, int | float) and notch_hz > 0 and not is_mains(notch_hz):
        raise UsageError(
            f"notch_hz: {notch_hz:g} is no mains frequency",
            path=place,
            remedy="state 50 or 60 (16.7 by a railway), or 0 for no notch",
        )
    try:
        return Recipe(**kept | fields).lacking(kept.keys() - fields.keys())
    except ValidationError as problem:
        remedy = choice(Recipe, problem, ("purpose",)) or "docs/recipes.md tells of every field"
        raise UsageError(fault(problem), path=place, remedy=remedy) from None


def _fields() -> str:
    return ", ".join(sorted(Recipe.model_fields.keys() - {"corpus", "purpose"}))


@cache
def _shipped(corpus: str) -> Fields:
    """Return what the recipe of a corpus says that comes with the package, nothing where there is none."""
    if corpus not in names():
        return {}
    return tomllib.loads((resources.files("manifests") / "recipes" / f"{corpus}.toml").read_text(encoding="utf-8"))


def _read(corpus: str, file: Path | None) -> dict[str, Any]:
    if file is None and corpus not in names():
        there_are = f"there are {', '.join(names())} (or give --recipe FILE)"
        remedy = " ".join(filter(None, (did_you_mean(corpus, names()), there_are)))
        raise UsageError("is no corpus with a recipe", path=corpus, remedy=remedy)
    others = "see the ones under manifests/recipes"
    source = file or resources.files("manifests") / "recipes" / f"{corpus}.toml"
    try:
        tables = tomllib.loads(source.read_text(encoding="utf-8-sig"))
    except OSError as problem:
        raise unreadable(Path(str(source)), problem, others) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise UsageError(f"not a recipe ({problem})", path=file, remedy=others) from None
    if "corpus" not in tables:
        raise UsageError("states no corpus", path=file, remedy=f'give it the line corpus = "{corpus}"')
    if tables["corpus"] != corpus:
        raise UsageError(
            f"is a recipe of {tables['corpus']!r}, not of {corpus!r}", path=file, remedy="name that corpus"
        )
    presets = tables.get("preset", {})
    inner = {"pretrain": tables.get("pretrain", {}), "preset": presets}
    inner |= {f"preset.{name}": table for name, table in presets.items()} if isinstance(presets, dict) else {}
    if strange := [name for name, table in inner.items() if not isinstance(table, dict)]:
        raise UsageError(f"{strange[0]} is no table", path=file, remedy=others)
    return _with_options(tables)


def _setting(text: str) -> Fields:
    fields = option(text, "window_s=4")
    ((key, value),) = fields.items()
    if key in ("corpus", "purpose"):
        raise UsageError(f"{key} is named by the command", path=f"--set {text}", remedy=f"fields are {_fields()}")
    if key in _NOW_OPTIONS:
        return {"options": fields}
    known = Recipe.model_fields.get(key)
    several = known is not None and get_origin(known.annotation) is tuple
    return {key: [value] if several and not isinstance(value, list) else value}
