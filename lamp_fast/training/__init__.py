"""One plain loop, and one file for each model that it trains."""
