"""Where knockouts would move cells, among the observed ones."""
