"""Jobs: their records, store, inputs, results and queue."""
