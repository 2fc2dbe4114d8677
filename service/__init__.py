"""hirebase: a company's hiring history in MySQL, kept moving."""

__version__ = "0.1.0"
