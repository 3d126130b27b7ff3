"""Where a prior comes from: folders, single files and the hub, LoRAs and textual inversions on top."""
