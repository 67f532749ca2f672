"""The configuration as others may see it: plain JSON, secrets masked."""

from __future__ import annotations

from typing import Any

from config.models import Config
from core.redact import redact_value


def view(config: Config) -> dict[str, Any]:
    """Every setting, defaults included, ready for JSON; secrets are ``***``, URLs keep all but their password."""
    shown: dict[str, Any] = redact_value(_plain(config.model_dump(mode="python", by_alias=True)))
    return shown


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)) or hasattr(value, "get_secret_value"):
        return value
    return str(value)
