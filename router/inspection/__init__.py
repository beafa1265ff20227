"""The inspection plane: a reverse proxy that answers with the control and then asks the candidate."""
