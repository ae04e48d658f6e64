"""A project's migrations: the graph, the models at each point of it, and the SQL and Python in them."""
