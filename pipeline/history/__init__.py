"""Readers of ML Metadata: earlier runs, their reports, the dashboard, reproducing a release."""
