"""How far a ranking can be trusted: people, other judges, power, judges of known error."""
