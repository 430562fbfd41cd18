"""What the API server and Istio's webhook refuse or warn about, one module per kind (spec schemas 3)."""
