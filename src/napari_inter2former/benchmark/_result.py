"""What a benchmark reports."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

__all__ = ["Result"]


@dataclass(frozen=True, kw_only=True)
class Result:
    """One measured figure.

    Parameters
    ----------
    suite : str
        Suite that measured it, as `SUITES` names it.
    name : str
        What was measured, such as ``"click/area=0.02"``.
    preset : str
        Preset of the network, or another word for what was measured.
    size : int
        Side of the image in pixels; 0 where there is none.
    ms : float
        Median time in milliseconds.
    reference : str
        What `reference_ms` is the time of; empty where nothing was compared.
    reference_ms : float or None
        Median time of the reference, in the same run.
    gflop : float or None
        Arithmetic that the computation needs when done plainly, in 10^9 operations.
    rate : float or None
        The machine's matrix-multiply rate in the same run, in 10^12 operations per second.
    figures : dict
        Anything else worth keeping: plain values.
    """

    suite: str
    name: str
    preset: str
    ms: float
    size: int = 0
    reference: str = ""
    reference_ms: float | None = None
    gflop: float | None = None
    rate: float | None = None
    figures: dict[str, Any] | None = None

    @property
    def ratio(self) -> float | None:
        """Time as a share of the reference's."""
        return self.ms / self.reference_ms if self.reference_ms else None

    @property
    def tflops_share(self) -> float | None:
        """Share of the matrix-multiply rate that is reached."""
        if self.gflop is None or not self.rate:
            return None
        return self.gflop / self.ms / self.rate

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What tells one figure from another."""
        return self.suite, self.name, self.preset, self.size

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = asdict(self)
        values.pop("figures")
        values |= {"ratio": self.ratio, "tflops_share": self.tflops_share}
        return {**values, **(self.figures or {})}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Result:
        """Make a result from what `to_dict` returned."""
        derived = {"ratio", "tflops_share"}
        own = {field.name for field in fields(cls)} - {"figures"}
        figures = {k: v for k, v in values.items() if k not in own | derived}
        return cls(**{k: v for k, v in values.items() if k in own}, figures=figures or None)
