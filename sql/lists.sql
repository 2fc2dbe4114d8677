-- Statements and conditions that every table shares. The service puts the names of a table, of its
-- columns and of its indexes into them, and joins conditions with AND and OR. Values are parameters.

-- A page of a list. It names the index, because the statistics of MySQL are wrong just after a load.
-- name: page
SELECT {columns} FROM {table} FORCE INDEX ({index}) WHERE {conditions} ORDER BY {order} LIMIT %s;

-- The last row of the next rows along an index.
-- name: nth
SELECT {columns} FROM {table} FORCE INDEX ({index}) WHERE {conditions}
ORDER BY {order} LIMIT 1 OFFSET %s;

-- How many rows match, counted up to a limit.
-- name: count_up_to
SELECT COUNT(*) FROM (
    SELECT id FROM {table} FORCE INDEX ({index}) WHERE {conditions} LIMIT %s
) AS matches;

-- How many rows match. It reads all of them.
-- name: count
SELECT COUNT(*) FROM {table} WHERE {conditions};

-- name: all_rows
TRUE;

-- name: one_of
{column} IN (%s);

-- name: starts_with
{column} LIKE %s ESCAPE '|';

-- name: from
{column} >= %s;

-- name: before
{column} < %s;

-- name: equal
{column} = %s;

-- name: greater
{column} > %s;

-- name: less
{column} < %s;

-- name: ascending
{column};

-- name: descending
{column} DESC;
