"""Tests of the bridge: a real Spark, a real metastore."""
