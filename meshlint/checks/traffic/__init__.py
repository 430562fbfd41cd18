"""What traffic does with VirtualServices, DestinationRules and Gateways (catalogue: spec traffic 8.5)."""
