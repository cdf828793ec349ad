"""The HTTP door: what curl, scripts and browsers talk to. `app` puts it together."""
