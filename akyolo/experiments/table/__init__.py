"""Turn records into tables, notes and plots."""
