"""What runs logged, drawn and compared: curves, histograms, methods side by side on one page."""
