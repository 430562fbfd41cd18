"""Where does meshlint say something else than istioctl's own analyzers? `python -m benchmarks.peers`"""
