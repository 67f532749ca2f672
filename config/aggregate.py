"""An aggregate of a dataset: windows, keys and measures (docs/aggregates.md)."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from core.aggregation import BadAggregate, check_name, measure, window_name, window_s
from core.units import BadUnit, seconds


def _a_window(text: str) -> str:
    try:
        window_s(text)
    except BadAggregate as error:
        raise PydanticCustomError("E155", "{why}", {"why": str(error)}) from None
    return text


def _a_measure(text: str) -> str:
    try:
        measure(text)
    except BadAggregate as error:
        raise PydanticCustomError("E155", "{why}", {"why": str(error)}) from None
    return text


def _a_duration(text: str | None) -> str | None:
    try:
        if text is not None:
            seconds(text)
    except BadUnit as error:
        raise PydanticCustomError("E142", "{why}", {"why": str(error)}) from None
    return text


class Aggregate(BaseModel):
    """One table `gold_<dataset>_by_<name>`, kept up to date from Gold ([aggregates.md](aggregates.md))."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    window: Annotated[str, AfterValidator(_a_window)] = Field(
        description="How long a window is; windows follow each other without gaps, in UTC.",
        examples=["1 hour"],
    )
    keys: tuple[str, ...] = Field(
        default=(), description="Fields whose values make groups of their own in each window."
    )
    measures: dict[str, Annotated[str, AfterValidator(_a_measure)]] = Field(
        min_length=1,
        description="Column -> `count`, or `count`, `sum`, `avg`, `min`, `max` of a field.",
        examples=["{flights: count, mean_delay: avg(dep_delay)}"],
    )
    watermark: Annotated[str | None, AfterValidator(_a_duration)] = Field(
        default=None,
        description="So long after its end, by event time, a window takes late records; null: for ever.",
        examples=["2 days"],
    )
    name: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9][a-z0-9_]{0,39}$",
        description="Last part of the table's name; null: the window's (`hour`, `day`, `15_minutes`).",
    )

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        for name in self.measures:
            try:
                check_name(name)
            except BadAggregate as error:
                raise PydanticCustomError("E155", "{why}", {"why": str(error)}) from None
            if name in self.keys:
                why = "is a key and a measure; name the measure otherwise"
                raise PydanticCustomError("E157", "`{name}` {why}", {"name": name, "why": why})
        if len(set(self.keys)) < len(self.keys):
            twice = next(key for key in self.keys if self.keys.count(key) > 1)
            raise PydanticCustomError("E157", "the key `{key}` stands twice; keep one", {"key": twice})
        return self

    @property
    def suffix(self) -> str:
        """The last part of the table's name."""
        return self.name or window_name(window_s(self.window))
