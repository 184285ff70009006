"""Budget, context, proof of work, addresses."""
