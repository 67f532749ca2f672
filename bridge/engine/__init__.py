"""Spark as a reader: its tasks read with the sources' own readers, judge with the same kernel, and stage parquet.

One unit of work is a ``Work``: a DataFrame whose rows say what to read (or are the rows themselves), and a ``Reader``
that makes batches of them inside the tasks. ``Chunks.do`` carries one out, whatever the source:

1. a commit number is reserved at the writer (rows carry it);
2. ``frame(spark).mapInArrow(...)``: each Spark partition is one task; the reader's batches are judged, trimmed by the
   stored coverage and staged below ``_staging``; the task answers one row, its ``Outcome``;
3. the outcomes are committed by the writer as one manifest (``store.staged.StagedCommit``), or the number is given back.

Spark's own progress (checkpoints) is a hint. The coverage in the commit log is the truth: work that comes again, in whatever
mode, is trimmed to what is missing.

**Another kind of source** is one class with the methods of ``Kind`` (bridge/engine/work.py) and a line in ``KINDS``:

* ``restore(resume)``: where to go on, from the commit log;
* ``plan(limit_bytes)``: the next ``Work``, or None when there is nothing (more) now. Batch runs call it until None;
* ``settle(work, troubles)``: what to do about what tasks could not read;
* ``committed(work, parts)``: it is in the tables.

A micro-batch source has ``stream(spark)`` besides (the streaming DataFrame) and ``of_batch(frame, batch_id)`` (the Work
in one micro-batch of it); see bridge/engine/files.py.

A ``Reader`` is called in the task with the partition's rows as Arrow batches, and yields ``core.batch.Batch`` in
reading order, or a ``Trouble``. It must pickle: a module-level class whose attributes are plain values. What it raises
(``AssayError``) ends the work: nothing of it is committed and it is tried again.
"""

from __future__ import annotations

KINDS = {"file": "bridge.engine.files:FileKind"}
"""Type of a source's settings -> its kind. Loaded when first used."""
