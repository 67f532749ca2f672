"""Spark as a reader: its tasks read with the sources' own readers, judge with the same kernel, and stage parquet.

One unit of work is a ``Work``: a DataFrame whose rows say what to read (or are the rows themselves), and a ``Reader``
that makes batches of them inside the tasks. ``Chunks.do`` carries one out, whatever the source:

1. a commit number is reserved at the writer (rows carry it);
2. ``frame(spark).mapInArrow(...)``: each Spark partition is one task; the reader's batches are judged, trimmed by the
   stored coverage and staged below ``_staging``; the task answers one row, its ``Outcome``;
3. the outcomes are committed by the writer as one manifest (``store.staged.StagedCommit``), or the number is given back.

Spark's own progress (checkpoints) is a hint. The coverage in the commit log is the truth: work that comes again, in whatever
mode, is trimmed to what is missing.

**Another kind of source** is one module, and its name in ``bridge.engine.kinds.KINDS``. It has

* ``batch(given) -> Kind`` (bridge/engine/work.py) for ``--engine spark``: ``restore(resume)`` goes on where the commit log
  stands, ``plan(limit_bytes)`` gives the next ``Work`` or None when there is nothing (more), ``settle(work, troubles, parts)``
  says what to do about what tasks could not read, ``committed(work, parts)`` hears what is in the tables;
* ``stream(given) -> StreamKind`` (bridge/engine/stream.py) for micro-batches, where it can: a ``Kind`` that has ``owner()``,
  ``stream(spark)`` (the streaming DataFrame), ``of_batch(frame, batch_id, stored)`` (the Work in one micro-batch) and ``pump()``.

``given`` is a ``bridge.engine.kinds.Given``. bridge/engine/files.py and file_stream.py are the example.

A ``Reader`` is called in the task with the rows of one Spark partition as Arrow batches, and yields ``core.batch.Batch`` in
reading order, or a ``Trouble``. It must pickle: a module-level class whose attributes are plain values. What it raises
(``AssayError``) ends the work: nothing of it is committed and it is tried again.
"""
