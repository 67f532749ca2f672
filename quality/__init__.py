"""The quality kernel: a schema and its rules become one compiled judge. Pure: imports core (and schemas) only."""

from quality.judge import PythonJudge, compile_judge
from quality.rules import check_rule
from quality.spec import JudgeSpec, Rule

__all__ = ["JudgeSpec", "PythonJudge", "Rule", "check_rule", "compile_judge"]
