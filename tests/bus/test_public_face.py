"""``assay.subscribe`` and what docs/subscribing.md says about it."""

import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

import assay
from core.frame import FRAME_SCHEMA, Frame
from core.signals import signal
from core.tiers import Tier
from tests.bus.builders import a_bus, a_frame, a_line
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]


def a_full_frame(seq=1):
    """Two rows, gold and rejected; the second is no JSON."""
    frame = a_frame(seq, tiers=(Tier.GOLD, Tier.REJECTED))
    columns = {name: frame.records.column(name) for name in FRAME_SCHEMA.names}
    columns["raw"] = pa.array([b'{"tail": "N1"}', b"oops"], pa.large_binary())
    columns["partition"] = pa.array(["p", "p"]).dictionary_encode().cast(FRAME_SCHEMA.field("partition").type)
    columns["score"] = pa.array([1.0, 0.0])
    return Frame(frame.header, pa.RecordBatch.from_arrays(list(columns.values()), schema=FRAME_SCHEMA))


async def running(bus, root):
    (root / "state").mkdir(exist_ok=True)
    bus.endpoint.write(root / "state" / "bus.json")


async def test_the_documented_subscriber_runs_in_another_process(tmp_path):
    """The block of docs/subscribing.md, as it stands there."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "subscribing.md").read_text(), re.S)
    assert sum(bool(line.strip()) for line in blocks[0].splitlines()) <= 10  # lines of code, as promised
    out = tmp_path / "out.txt"
    async with a_bus(tmp_path) as bus, a_line(bus) as line:
        await running(bus, tmp_path)
        with out.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, "-c", blocks[0]], cwd=ROOT, stdout=file, env={"ASSAY_DATA": str(tmp_path)}
            )
        try:
            await eventually(lambda: bus.statistics().subscribers or process.poll() is not None)
            await line.send(a_full_frame())
            await eventually(lambda: len(out.read_text().splitlines()) == 2 or process.poll() is not None)
        finally:
            process.kill()
            process.wait()
    assert out.read_text().splitlines() == [
        "flights.p.1000 gold 1.0 {'tail': 'N1'}",
        "flights.p.1001 rejected 0.0 None",
    ]


async def test_events_hold_records_of_the_tiers_asked_for_and_signals(tmp_path, monkeypatch):
    async with a_bus(tmp_path) as bus, a_line(bus) as line:
        await running(bus, tmp_path)
        monkeypatch.setenv("ASSAY_DATA", str(tmp_path))
        async with await assay.subscribe(
            ["scored.*", "system"], tier="rejected", type="assay.source.*"
        ) as events:
            await line.send(a_frame(1, tiers=(Tier.GOLD,)))
            await line.send(a_full_frame(2))
            await line.say(signal("assay.batch.committed", "x", "not asked for", source="/s"))
            await line.say(signal("assay.source.started", "x", "asked for", source="/s"))

            frame, said = await anext(events), await anext(events)

            assert frame.header.seq == 2
            assert [row["tier"] for row in frame.rows()] == ["rejected"]
            assert said.signal.data["message"] == "asked for"
            with pytest.raises(ValueError, match="`system` holds no records"):
                said.rows()
            assert events.lost == 0


async def test_without_a_running_system_it_says_where_it_looked(tmp_path):
    with pytest.raises(assay.BusLost, match=f"E903 .*{tmp_path}"):
        await assay.subscribe("system", data_dir=tmp_path)


def test_the_public_face_loads_neither_ray_nor_spark_nor_the_kernel():
    code = "import sys, assay; print(*{'ray', 'pyspark', 'quality', 'actors'} & set(sys.modules))"

    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert loaded.stdout.strip() == ""
    assert assay.DataClassifier.__name__ == "PythonJudge"
