"""Named knockouts and doses with either model."""
