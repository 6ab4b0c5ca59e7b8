"""Training: recipes, stages, networks, export. Serving never imports this package; it reads what it exports."""
