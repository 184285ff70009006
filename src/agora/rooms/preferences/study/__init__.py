"""The study: vary one of four aspects of preference learning, everything else fixed, and prove that it was so."""
