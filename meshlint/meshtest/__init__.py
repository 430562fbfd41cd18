"""Route tests: requests in `*.meshtest.yaml` files, and what the mesh must do with them."""
