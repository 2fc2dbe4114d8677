"""hirebase keeps a company's hiring history in MySQL, and moves it in and out."""

__version__ = "0.2.0"
