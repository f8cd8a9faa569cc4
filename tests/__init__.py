"""The tests of akyolo, a folder for each of its packages."""
