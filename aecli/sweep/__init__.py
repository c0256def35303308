"""Many runs: planned as folders, launched, watched and resumed."""
