"""Reports of a batch: contact sheet, log, tables and plots."""
