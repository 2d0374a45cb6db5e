"""Own encoders: what a function in a user's file returns, each of its answers checked, so that a slip has one line."""

import contextlib
import copy
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dare_eeg.encoders.base import EEGEncoder, Identity, Prepared
from manifests.atomic_io import sha256_file
from manifests.errors import DareError, MissingError, RefusedError, UsageError
from manifests.faults import did_you_mean

T = TypeVar("T")


class OwnEncoder(EEGEncoder):
    """Somebody's encoder behind checks: errors of its own, and answers of another form, become a `RefusedError`.

    Windows come to it on its device; adapters work in float32 and it in the precision of its weights. ``file_sha256``
    is that of the file with its code, whoever it says to be.
    """

    def __init__(self, encoder: EEGEncoder, path: str, sha256: str) -> None:
        super().__init__()
        self.encoder, self._path, self.file_sha256 = encoder, path, sha256
        identity = self._answer("identity", lambda: encoder.identity, Identity)
        self._identity = identity if identity.sha256 else replace(identity, sha256=sha256)
        self._electrodes = tuple(self._answer("electrodes", lambda: encoder.electrodes, tuple))
        if not self._electrodes or not all(isinstance(name, str) for name in self._electrodes):
            raise self._refused("electrodes are no names")

    @property
    def electrodes(self) -> tuple[str, ...]:
        """The electrodes it names."""
        return self._electrodes

    @property
    def identity(self) -> Identity:
        """Who it says to be; its sha256 is that of its file where it tells none."""
        return self._identity

    def known(self, electrodes: Sequence[str]) -> list[int]:
        """Return the places of the electrodes it can read."""
        places = self._answer("known", lambda: list(self.encoder.known(electrodes)), list)
        if strange := [one for one in places if not isinstance(one, int) or not 0 <= one < len(electrodes)]:
            raise self._refused(f"known returns {strange[0]!r}, no place among {len(electrodes)} electrodes")
        return places

    def prepare(
        self,
        x_uv: Tensor | NDArray[Any],
        electrodes: Sequence[str],
        sfreq: float,
        present: Tensor | NDArray[Any] | None = None,
    ) -> Prepared:
        """Return windows as it reads them, float32, a row for each of the electrodes it names."""
        at = self._weight()
        x_uv = torch.as_tensor(x_uv, device=at.device)
        present = None if present is None else torch.as_tensor(present, device=at.device)
        found = self._answer("prepare", lambda: self.encoder.prepare(x_uv, electrodes, sfreq, present), Prepared)
        if not isinstance(found.x, Tensor) or found.x.shape[:2] != (len(x_uv), len(found.electrodes)):
            raise self._refused(f"prepare returns {_form(found.x)} for {len(found.electrodes)} electrodes")
        return replace(found, x=found.x.float())

    def encode(self, prepared: Prepared) -> Tensor:
        """Return its features (B, N, S, D), float32."""
        cast = replace(prepared, x=prepared.x.to(self._weight().dtype))
        found = self._answer("encode", lambda: self.encoder.encode(cast), Tensor)
        if found.dim() != 4 or len(found) != len(prepared.x) or not found.numel():
            raise self._refused(f"encode returns {_form(found)} for {len(prepared.x)} windows, not (B, N, S, D)")
        if not bool(found.isfinite().all()):
            raise self._refused("encode returns numbers that are not finite")
        return found.float()

    def layers(self) -> list[list[nn.Parameter]]:
        """Return its layers."""
        found = self._answer("layers", lambda: [list(layer) for layer in self.encoder.layers()], list)
        if not all(isinstance(one, nn.Parameter) for layer in found for one in layer):
            raise self._refused("layers are no lists of parameters")
        return found

    def __deepcopy__(self, memo: dict[int, Any]) -> "OwnEncoder":
        inner = self._answer("a copy of it", lambda: copy.deepcopy(self.encoder, memo), EEGEncoder)
        return OwnEncoder(inner, self._path, self.file_sha256)

    def _weight(self) -> Tensor:
        """Return one of its numbers, which tells its device and precision; a float32 on the CPU where it has none."""
        own = (one for one in (*self.encoder.parameters(), *self.encoder.buffers()) if one.is_floating_point())
        return next(own, torch.zeros(()))

    def _answer(self, asked: str, answer: Callable[[], T], kind: type) -> T:
        """Return an answer of this kind."""
        try:
            found = answer()
        except DareError:
            raise
        except Exception as problem:
            raise self._refused(f"{asked} raises {type(problem).__name__}: {problem}") from problem
        if not isinstance(found, kind):
            raise self._refused(f"{asked} returns {_form(found)}, no {kind.__name__}")
        return found

    def _refused(self, reason: str) -> RefusedError:
        return RefusedError(" ".join(reason.split()), path=self._path, remedy="docs/encoders.md shows one; -v where")


def own_encoder(name: str) -> OwnEncoder:
    """Return what the function of ``FILE.py:FUNCTION`` returns; the file is run, as the user asked.

    What it prints goes to stderr, and it may import files beside it. Raises DareError where there is no such file or
    function, where either fails, and where what comes is no encoder.
    """
    file, _, function = name.rpartition(":")
    path = Path(file)
    if path.suffix != ".py" or not function:
        raise UsageError("names no function", path=f"--encoder py:{name}", remedy="give py:FILE.py:FUNCTION")
    if not path.is_file():
        raise MissingError("not found", path=path, remedy="give py:FILE.py:FUNCTION")
    with contextlib.redirect_stdout(sys.stderr):
        try:
            encoder = _function(path, function)()
        except DareError:
            raise
        except (Exception, SystemExit) as problem:
            reason = f"{function} cannot be had ({type(problem).__name__}: {problem})"
            raise RefusedError(" ".join(reason.split()), path=path, remedy="-v shows where") from problem
        if not isinstance(encoder, EEGEncoder):
            reason = f"{function} returns {_form(encoder)}, no dare_eeg.EEGEncoder"
            raise RefusedError(reason, path=path, remedy="docs/encoders.md shows one")
        return OwnEncoder(encoder, f"--encoder py:{name}", sha256_file(path))


def _function(path: Path, name: str) -> Callable[[], Any]:
    """Return a function, or a class, of a file; MissingError where it has none of that name."""
    module = _module(path.resolve())
    own = {key: one for key, one in vars(module).items() if getattr(one, "__module__", "") == module.__name__}
    if not hasattr(module, name):
        remedy = did_you_mean(name, own) or f"it has {', '.join(own) or 'neither a function nor a class'}"
        raise MissingError(f"has no {name}", path=path, remedy=remedy)
    return cast(Callable[[], Any], getattr(module, name))


def _module(path: Path) -> ModuleType:
    """Return a file as a module of a name that no other has, known to those who look classes up by it."""
    name = f"_own_encoder_{path.stem}_{abs(hash(path))}"
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec.loader.exec_module(module)
    return module


def _form(found: object) -> str:
    """Return what something is, in words."""
    if isinstance(found, Tensor):
        return f"a tensor {tuple(found.shape)}"
    return f"the class {found.__name__}" if isinstance(found, type) else type(found).__name__
