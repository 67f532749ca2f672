"""What OpenLineage 2-0-2 and its facets demand of an event, written down as one JSON Schema of our own.

It names what the published documents require and the types they give, and is stricter in one thing: a facet under a name
that is not listed here is refused, so that a misspelt one is seen.
"""

from __future__ import annotations

from typing import Any

import jsonschema_rs

TEXT, WHOLE, NUMBER, FLAG = {"type": "string"}, {"type": "integer"}, {"type": "number"}, {"type": "boolean"}
URI = {"type": "string", "format": "uri"}
INSTANT = {"type": "string", "format": "date-time"}
ID = {"type": "string", "format": "uuid"}


def needs(required: str, **properties: Any) -> dict[str, Any]:
    """An object with these required keys, separated by blanks."""
    return {"type": "object", "required": required.split(), "properties": properties}


def facet(required: str = "", **properties: Any) -> dict[str, Any]:
    """A facet: its producer and schema, and what it says."""
    return needs(f"_producer _schemaURL {required}", _producer=URI, _schemaURL=URI, **properties)


def facets(**known: Any) -> dict[str, Any]:
    """An object of facets by name."""
    return {"type": "object", "properties": known, "additionalProperties": False}


def listed(items: Any) -> dict[str, Any]:
    """An array of these."""
    return {"type": "array", "items": items}


METRICS = {
    "rowCount": WHOLE, "bytes": WHOLE, "fileCount": WHOLE, "lastUpdated": INSTANT,
    "columnMetrics": {
        "type": "object",
        "additionalProperties": needs(
            "", nullCount=WHOLE, distinctCount=WHOLE, sum=NUMBER, count=NUMBER, min=NUMBER, max=NUMBER,
            quantiles={"type": "object", "additionalProperties": NUMBER},
        ),
    },
}  # fmt: skip
ASSERTION = needs(
    "assertion success", assertion=TEXT, success=FLAG, column=TEXT, severity=TEXT, name=TEXT, description=TEXT,
    expected=TEXT, actual=TEXT, content=TEXT, contentType=TEXT, params={"type": "object"},
)  # fmt: skip
JOB = needs("namespace name", namespace=TEXT, name=TEXT, facets={"type": "object"})
DATASET = facets(
    schema=facet(fields=listed(needs("name", name=TEXT, type=TEXT, description=TEXT))),
    dataQualityMetrics=facet("columnMetrics", **METRICS),
)
INPUT = needs(
    "namespace name", namespace=TEXT, name=TEXT, facets=DATASET,
    inputFacets=facets(
        dataQualityMetrics=facet("columnMetrics", **METRICS),
        dataQualityAssertions=facet("assertions", assertions=listed(ASSERTION)),
    ),
)  # fmt: skip
OUTPUT = needs(
    "namespace name", namespace=TEXT, name=TEXT, facets=DATASET,
    outputFacets=facets(outputStatistics=facet(rowCount=WHOLE, size=WHOLE, fileCount=WHOLE)),
)  # fmt: skip
RUN = needs(
    "runId", runId=ID,
    facets=facets(
        parent=facet("run job", run=needs("runId", runId=ID), job=JOB),
        errorMessage=facet("message programmingLanguage", message=TEXT, programmingLanguage=TEXT, stackTrace=TEXT),
    ),
)  # fmt: skip
EVENT = needs(
    "eventTime producer schemaURL run job", eventTime=INSTANT, producer=URI, schemaURL=URI, run=RUN, job=JOB,
    inputs=listed(INPUT), outputs=listed(OUTPUT),
    eventType={"enum": ["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]},
)  # fmt: skip

_validator = jsonschema_rs.Draft202012Validator(EVENT, validate_formats=True)


def faults(event: Any) -> list[str]:
    """What is wrong with an event; empty if nothing."""
    return [f"{error.instance_path}: {error.message}" for error in _validator.iter_errors(event)]
