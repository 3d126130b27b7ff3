"""Curves and histograms from the logs of runs, and their pictures."""
