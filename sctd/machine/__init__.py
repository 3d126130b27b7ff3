"""The machine a run is on: cores, threads, memory, and the way of numbers to the device and back."""
