"""What a run reads and writes: the volume and its blocks, and the folder with its ledger."""
