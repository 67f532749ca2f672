"""Where OpenLineage events go (docs/lineage.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError


def _an_endpoint(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        why = "is no endpoint; write `http(s)://host:port/path`"
        raise PydanticCustomError("E101", "`{text}` {why}", {"text": text, "why": why})
    if parts.username is not None:
        raise PydanticCustomError("E101", "the endpoint names a user; give `api_key` instead")
    return text


class Lineage(BaseModel):
    """OpenLineage events of runs and commits."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(default=False, description="Whether events are written.")
    namespace: str = Field(default="assay", min_length=1, description="The namespace of the jobs.")
    url: Annotated[str, AfterValidator(_an_endpoint)] | None = Field(
        default=None,
        description="Each event is posted here; null: a file.",
        examples=["http://marquez.example.test:5000/api/v1/lineage"],
    )
    path: Path | None = Field(
        default=None, description="The file, one event a line; null: `<root>/state/lineage.ndjson`."
    )
    api_key: SecretStr | None = Field(default=None, description="Sent as `Authorization: Bearer …`.")
    timeout_s: float = Field(
        default=5.0, gt=0, le=60, allow_inf_nan=False, description="Limit for one request, seconds."
    )

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.url is not None and self.path is not None:
            raise PydanticCustomError("E101", "has both `url` and `path`; give one of them")
        return self
