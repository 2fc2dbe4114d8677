-- Statements and conditions that every table shares. The service puts the names of a table, of its
-- columns and of its indexes into them, and joins conditions with AND and OR. Values are parameters.

-- A page of a list. It names the index, because the statistics of MySQL are wrong just after a load.
-- The hint is for filters with many values: by the statistics alone, MySQL would expect so many rows
-- that it reads the whole index. Other servers ignore it.
-- name: page
SELECT /*+ SET_VAR(eq_range_index_dive_limit = 2000) */ {columns}
FROM {table} FORCE INDEX ({index}) WHERE {conditions} ORDER BY {order} LIMIT %s;

-- The last row of the next rows along an index.
-- name: nth
SELECT /*+ SET_VAR(eq_range_index_dive_limit = 2000) */ {columns}
FROM {table} FORCE INDEX ({index}) WHERE {conditions}
ORDER BY {order} LIMIT 1 OFFSET %s;

-- How many rows match, counted up to a limit.
-- name: count_up_to
SELECT /*+ SET_VAR(eq_range_index_dive_limit = 2000) */ COUNT(*) FROM (
    SELECT id FROM {table} FORCE INDEX ({index}) WHERE {conditions} LIMIT %s
) AS matches;

-- How many rows the server believes a table to have. MySQL remembers its answer for a day, unless
-- the hint asks it not to; other servers ignore the hint.
-- name: estimate
SELECT /*+ SET_VAR(information_schema_stats_expiry = 0) */ table_rows
FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = %s;

-- How many rows match. It reads all of them.
-- name: count
SELECT COUNT(*) FROM {table} WHERE {conditions};

-- A condition that chooses no rows of an index. Of two filters with a thousand values, MySQL would make
-- a million ranges of the index by time.
-- name: tested
IF({condition}, TRUE, FALSE);

-- name: all_rows
TRUE;

-- name: one_of
{column} IN (%s);

-- Texts that begin with a text: between it and the last text that begins with it. MySQL would read a
-- shorter range of the index for LIKE: it takes U+FFFF for the greatest character, and misses emoji.
-- So LIKE tests a text that is no column. The range alone takes spaces at the end for nothing.
-- name: starts_with
({column} BETWEEN %s AND %s AND CONCAT({column}, '') LIKE %s ESCAPE '|');

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
{source}.{column};

-- name: descending
{source}.{column} DESC;

-- Rows of a file, each as a line of text, and their number. GROUP_CONCAT takes less of the server's
-- time than rows do, and almost none of the service's.
-- name: lines
SELECT /*+ SET_VAR(eq_range_index_dive_limit = 2000) */ COUNT(*), GROUP_CONCAT({line} ORDER BY {order} SEPARATOR '\n')
FROM (
    SELECT {columns} FROM {table} FORCE INDEX ({index}) WHERE {conditions}
) AS matches {joins};

-- name: parent
LEFT JOIN {table} AS {source} ON {source}.id = matches.{column};

-- name: value
{source}.{column};

-- A line of CSV. Texts have quotes, so that a comma in them is no separator. GROUP_CONCAT of MySQL cuts
-- a text at the length that its expression declares, and REPLACE declares that of its input: so the
-- input is cast to the length that it has if each character is a quote.
-- name: csv_line
CONCAT_WS(',', {values});

-- name: csv_null
IFNULL({value}, '');

-- name: csv_text
CONCAT('"', REPLACE(CAST({value} AS CHAR({length})), '"', '""'), '"');

-- A spreadsheet reads a text that begins with one of these characters as a formula.
-- name: csv_no_formula
CONCAT(IF(LEFT(LTRIM({value}), 1) IN ('=', '+', '-', '@', '＝', '＋', '－', '＠'), '''', ''), {value});

-- name: json_line
CONCAT('{', {values}, '}');

-- name: json_pair
'"{name}":', {value};

-- name: json_null
IFNULL({value}, 'null');

-- name: json_text
JSON_QUOTE({value});

-- name: json_quoted
CONCAT('"', {value}, '"');

-- name: boolean
IF({value} IS NULL, NULL, IF({value}, 'true', 'false'));

-- A moment as the API shows it.
-- name: moment
REPLACE(CONCAT(REPLACE({value}, ' ', 'T'), 'Z'), '.000000Z', 'Z');

-- A row that is about to change.
-- name: locked
SELECT {columns} FROM {table} WHERE id = %s FOR UPDATE;
