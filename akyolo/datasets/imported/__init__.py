"""Import the data sets of users."""
