"""Places that keep objects. The contract is in `base`; each adapter stands alone."""
