"""Workbooks as a way in: .xlsx, .xlsm and .ods become the rows that any other prompt file becomes."""
