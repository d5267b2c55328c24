"""Predicted against measured knockouts, for either model."""
