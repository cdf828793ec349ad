"""What is drawn with Qt. Nothing else of the plugin imports it."""
