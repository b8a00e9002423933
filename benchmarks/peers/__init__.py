"""The peers: classes behind the protocol of `benchmarks.contender`, used as their documentation advises."""
