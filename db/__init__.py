"""All SQL of the project: tables, statements, migrations."""
