"""The application's own modules. Importing one never writes to disk."""
