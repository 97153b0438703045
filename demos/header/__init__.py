"""The header of every page: the picker of the domain in use, and what each domain needs."""
