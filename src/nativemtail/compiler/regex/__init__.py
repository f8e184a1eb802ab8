"""Go's regular expressions: parsing, analysis, and the forms that the engines take."""
