"""Is the pipeline fit for work? Reasons in words when it is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from web.view import worded

NEEDED = ("bus", "registry", "writer")
SILENT_S = 10.0


def not_ready(snapshot: Mapping[str, Any]) -> list[str]:
    """Why this instance is not ready; empty when it is. A stored state is served as it is: ready."""
    live = snapshot["live"]
    if live["stored"] or snapshot["state"] == "done":
        return []
    if live["age_s"] is None:
        return ["no station has spoken yet"]
    reasons = [f"nothing heard for {live['age_s']:.0f} s"] if live["age_s"] > SILENT_S else []
    if snapshot["state"] == "failed":
        reasons.append("the run failed")
    stations = {station["name"]: station for station in snapshot["stations"]}
    for name in NEEDED:
        if name not in stations:
            reasons.append(f"station `{name}` has not spoken yet")
        elif worded(stations[name].get("state"))[0] != "ok":
            reasons.append(f"station `{name}` is {stations[name].get('state')}")
    stores = snapshot["stores"]
    if stores and all(worded(store["state"])[0] in {"warn", "error"} for store in stores):
        reasons.append("no store takes data")
    return reasons
