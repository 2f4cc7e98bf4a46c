"""What results and opinions teach: which model, which prompt, which taste; on `learning`, with rows in `db`."""
