"""HTML pages and charts: one look for every page that sgkit writes."""
