-- name: add
INSERT INTO rows_by_day (day, source, user_name, table_name, added) VALUES (%s, %s, %s, %s, %s)
ON DUPLICATE KEY UPDATE added = added + VALUES(added);

-- name: of_day
SELECT source, user_name, table_name, added FROM rows_by_day WHERE day = %s ORDER BY added DESC;
