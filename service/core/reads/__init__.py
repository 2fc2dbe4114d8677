"""Reads of tables: filters, orders, pages of lists, and exports of whole lists."""
