"""What the drivers of stores that speak HTTP have in common."""
