"""The curated TFDV schema: imported into a run, and updated by a person who accepts an anomaly."""
