"""The doors of the server: HTTP with its page, and ZeroMQ."""
