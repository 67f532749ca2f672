"""Words every room shares. Imports nothing of Assay's own but itself."""
