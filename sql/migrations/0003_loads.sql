-- How far each unfinished load of a file has come: a row for every block of its records, written
-- in the transaction of the block's rows. Gone once the load is done.
-- load_key: table, content and options; origin_key: table and content, as in rejects.
CREATE TABLE IF NOT EXISTS loads (
    load_key CHAR(64) NOT NULL,
    first_byte BIGINT NOT NULL,
    next_byte BIGINT NOT NULL,
    first_line BIGINT NOT NULL,
    next_line BIGINT NOT NULL,
    origin VARCHAR(255) NOT NULL,
    origin_key CHAR(64) NOT NULL,
    received INT NOT NULL DEFAULT 0,
    added INT NOT NULL DEFAULT 0,
    changed INT NOT NULL DEFAULT 0,
    unchanged INT NOT NULL DEFAULT 0,
    skipped INT NOT NULL DEFAULT 0,
    lowest_id INT NOT NULL DEFAULT 0,
    highest_id INT NOT NULL DEFAULT 0,
    ids INT NOT NULL DEFAULT 0,
    saved_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    PRIMARY KEY (load_key, first_byte),
    KEY loads_origin (origin)
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
