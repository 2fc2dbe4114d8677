"""What the routes of a table do: lists, exports, changes of single rows."""
