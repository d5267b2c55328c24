"""Predicted against measured knockouts: the screen, what each method predicts, scores and their summary."""
