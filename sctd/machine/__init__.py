"""The machine of a run: cores, threads, memory, and transfers between host and device."""
