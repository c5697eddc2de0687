"""Layer 3: the operations, one class with its public function in one file for each family."""
