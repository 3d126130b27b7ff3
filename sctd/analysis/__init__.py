"""What runs logged: curves and histograms, and their pictures."""
