"""Training: the recipe, the windows, the loss, a run that resumes."""
