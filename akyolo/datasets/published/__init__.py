"""Download, verify and convert published data sets."""
