"""Download, verify, unpack and convert the published data sets."""
