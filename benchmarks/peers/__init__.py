"""The peers: each a class behind the protocol of `benchmarks.contender`, used as its documentation advises."""
