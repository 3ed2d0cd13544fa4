"""Values that rooms hand to each other and to clients: frozen structs, Docker's spelling only in their wire names."""
