"""The verbs of Holdfast, one function each. They are given what they need and know neither config nor terminal."""
